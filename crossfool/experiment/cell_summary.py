"""A cell in sentences: what was attacked, how, with which bytes, at what cost, and what came out. No torch."""

from collections.abc import Iterator

from crossfool.experiment import descriptions
from crossfool.experiment.provenance import weights_digest
from crossfool.experiment.recorded_cell import RecordedCell
from crossfool.storage.hashing import sha256

DIGITS = 12  # of a hash, in a sentence


def cell_summary(cell: RecordedCell) -> str:
    """Sentences that say what a cell is; a fact that no record has is left out."""
    return " ".join(_sentences(cell))


def _sentences(cell: RecordedCell) -> Iterator[str]:
    count, name = cell.attacked(), cell.experiment.dataset.name
    images = (
        f"images of {name}" if count is None else f"1 image of {name}" if count == 1 else f"{count:,} images of {name}"
    )
    models = " and ".join(f"{member}{_hash('weights', weights_digest(cell, member))}" for member in cell.members)
    path = cell.folder / "subset/images.safetensors"
    subset = cell.metadata.get("subset") or (sha256(path) if path.is_file() else None)
    source = f"the ensemble of {models}" if len(cell.members) > 1 else models
    yield f"The attack {cell.name} changes {images}{_hash('subset', subset)} so that {source} gives {_aim(cell)}."
    yield f"It is {descriptions.attack_summary(cell.attack)}."
    each = cell.attack.gradient_evaluations_per_seed
    total = "" if count is None else f", {count * each * len(cell.members):,} in all"
    yield f"It costs {each:,} gradient evaluations an image and model{total}."
    if cell.file is None:
        yield "The adversarial images are not here."
    else:
        yield f"The adversarial images are in {cell.path}{_hash('', sha256(cell.path))}."
    rates = [
        f"{values['top1']:.1f}% on {target}" for target, values in cell.metrics().items() if not values["whitebox"]
    ]
    if rates:
        yield f"Success on models that the attack has not seen: {', '.join(rates)}."


def _aim(cell: RecordedCell) -> str:
    return "the target label" if cell.attack.targeted else "a wrong label"


def _hash(what: str, digest: str | None) -> str:
    """A file's sha256 in brackets, shortened; "" where it is not known."""
    return f" ({what}{' ' if what else ''}sha256 {digest[:DIGITS]}...)" if digest else ""
