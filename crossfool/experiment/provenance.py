"""The provenance of a cell: what was computed, from which bytes, by which update, and how to do it again. No torch."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from crossfool import first_edition
from crossfool.attacks import parts
from crossfool.attacks.config import Attack, in_order
from crossfool.errors import UserError, brief, unknown_name
from crossfool.experiment import descriptions, loading
from crossfool.experiment.descriptions import parameter_value
from crossfool.experiment.formulas import Fact, evaluations_formula, parameter_meanings, update_facts
from crossfool.experiment.recorded_cell import RecordedCell
from crossfool.models.defended_models import find_defended
from crossfool.models.weights import registry
from crossfool.pipeline.crafting import weights_record
from crossfool.storage import recovery
from crossfool.storage.dvc_lock import parse_outputs
from crossfool.storage.hashing import md5, sha256
from crossfool.storage.tensors import TensorFile


def find_cell(cell: str, folder: Path) -> RecordedCell:
    """Find a cell by `source/attack`, by `source-attack` as DVC writes it, or by its file's path.

    Args:
        cell: One of these.
        folder: The experiment's; a file's path names the experiment's folder itself.

    Raises:
        UserError: there is no such source or attack, or the file is no cell's.
    """
    path = Path(cell)
    if path.suffix == ".safetensors":
        source, name = path.parent.name, path.stem
        if path.parent.parent.name != "adversarial":
            raise UserError(
                f"{cell} does not lie in an experiment's adversarial/<source>/; give such a path, or source/attack"
            )
        folder = path.parent.parent.parent
    else:
        source, _, name = cell.partition("/" if "/" in cell else "-")  # neither stands in a name
        if not name or "/" in name:
            raise UserError(
                f"{cell!r} is not a cell; expected source/attack, or a path adversarial/source/attack.safetensors"
            )
    experiment = loading.load_experiment(folder / "params.yaml")
    if source not in experiment.sources:
        raise unknown_name("source", source, experiment.sources)
    row, path = experiment.row(name), folder / "adversarial" / source / f"{name}.safetensors"
    file = TensorFile(path) if path.is_file() else None
    lock, record = folder / "dvc.lock", folder / "sources" / f"{source}.json"
    locked = parse_outputs(lock.read_text(encoding="utf-8")) if lock.is_file() else {}
    params = locked.get(f"adversarial/{source}/{name}.safetensors", {}).get("params", {}).get(f"attacks.{name}")
    if file and "params" in file.metadata:
        params = file.metadata_object("params")
    try:
        row = Attack.model_validate(params) if params else row
    except ValueError as error:
        raise UserError(
            f"{path} was made with params that are not an attack of this version ({brief(error, 200)}); run `dvc repro`"
        ) from None
    members = weights_record.read_weights_record(record)["members"] if record.is_file() else {}
    return RecordedCell(folder, source, name, experiment, path, file, row, locked, members)


def provenance_sections(cell: RecordedCell) -> dict[str, list[Fact]]:
    """All facts about a cell, by section."""
    return {
        "What": list(_computed(cell)),
        "Update": list(update_facts(cell.attack, len(cell.members))),
        "Parameters": list(_parameters(cell)),
        "From": [*_subset(cell), *_weights(cell), *_libraries(cell)],
        "File": list(_file(cell)),
        "Again": list(_commands(cell)),
        "Rates": list(_rates(cell)),
    }


def _computed(cell: RecordedCell) -> Iterator[Fact]:
    """The cell, its attack, images, criterion of success and gradient evaluations."""
    aim = "the prediction is the target label" if cell.attack.targeted else "the prediction is not the true label"
    source = " + ".join(cell.members)
    yield "cell", f"{cell.name} from {source}{' (an ensemble)' if len(cell.members) > 1 else ''}"
    yield "attack", descriptions.attack_summary(cell.attack)
    yield "images", _images(cell)
    yield "success", f"{aim}; counted on the stored uint8 images"
    for target in cell.experiment.answering:
        if defended := find_defended(target):
            yield "defence", f"target {target}: {defended.summary} ({defended.declared.cite})"
    images = cell.attacked()
    gradients = cell.attack.gradient_evaluations_per_seed
    product = "" if cell.attack.method else f"{evaluations_formula(cell.attack)} = "
    cost = f"{product}{gradients:,} an image and model"
    if images:
        members = f" · {len(cell.members)} models" if len(cell.members) > 1 else ""
        cost += f"; · {images:,} images{members} = {images * gradients * len(cell.members):,}"
    yield "gradients", cost


def _images(cell: RecordedCell) -> str:
    """The number of attacked images, and how they were chosen."""
    count, subset = cell.attacked(), cell.experiment.subset
    number = f"{count:,}" if count else "all" if subset.images == "all" else f"{subset.images:,} (asked)"
    every = subset.images == "all"
    drawn = "every one" if every else f"drawn with seed {subset.seed} from those"
    if subset.uses_tuning:
        pool = "" if subset.of == "all" else " from those that all models classify correctly"
        name = cell.experiment.dataset.name
        return f"{descriptions.TUNING_NOTICE}: {subset.tuning:,} of {name}, drawn with seed {subset.seed}{pool}"
    if subset.of == "all":
        drawn = "every one" if every else f"drawn with seed {subset.seed}"
        none = "; no image is right under all models" if cell.right_under_all() == 0 else ""
        return f"{number} of {cell.experiment.dataset.name}: {drawn}, whether models are right on it or not{none}"
    many = len(cell.experiment.models)
    models = f"all {many} models classify" if many > 1 else "the model classifies"
    return f"{number} of {cell.experiment.dataset.name}: {drawn} that {models} correctly"


def _parameters(cell: RecordedCell) -> Iterator[Fact]:
    """The attack's parameters, the arithmetic, and whether params.yaml agrees with them."""
    values, meanings = cell.attack.model_dump(), parameter_meanings(cell.attack)
    named = (*parts.DEFAULTS, "objective", "fusion")  # behind the numbers
    for key in values:
        value, meaning = values[key], meanings.get(key, "")
        if key in named:
            continue
        if key == "seed" and cell.attack.draws_at_random:
            value = value or 0
        if key == "seed" and cell.attack.method is not None:
            meaning = "of what the library draws, from (seed, ids of the chunk's images)"
        if value is not None:
            yield f"{key} = {parameter_value(value)}", meaning
    for key in (
        *(["gradient", "update"] if cell.attack.method is None else []),
        *(["loss"] if cell.attack.loss is not None else []),
        "objective",
        *(["fusion"] if len(cell.members) > 1 else []),
    ):
        yield f"{key} = {values[key]}", ""
    recorded = cell.json_metadata("compute")
    compute = cell.experiment.compute.model_dump() if recorded is None else recorded
    yield "compute", ", ".join(f"{key} {value}".lower() for key, value in compute.items())
    if cell.file or cell.locked_file:
        yield "params.yaml", _agreement(cell)


def _agreement(cell: RecordedCell) -> str:
    """Whether params.yaml still says what made the file."""
    now, then = cell.experiment.row(cell.name), cell.attack
    changed = [
        f"{key} {parameter_value(then.value(key))}, now {parameter_value(now.value(key))}"
        for key in in_order({**now.model_dump(), **then.model_dump()})
        if now.value(key) != then.value(key)
    ]
    return f"has changed since: {'; '.join(changed)}" if changed else "says the same"


def _subset(cell: RecordedCell) -> Iterator[Fact]:
    path, recorded = cell.folder / "subset/images.safetensors", cell.metadata.get("subset")
    present = sha256(path) if path.is_file() else None
    if recorded and present:
        agreement = "the file's" if recorded == present else f"NOT the file's, {present}"
        yield "subset", f"{path}, sha256 {recorded}: {agreement}"
    else:
        yield "subset", f"{path}, {_digest(cell, 'subset/images.safetensors', recorded or present)}"


def _digest(cell: RecordedCell, place: str, known: str | None) -> str:
    """The sha256 of a file; where it is not known, the md5 by dvc.lock."""
    if known:
        return f"sha256 {known}"
    locked = cell.locked.get(place)
    return f"md5 {locked['md5']} by dvc.lock, not here" if locked else "not here yet"


def weights_digest(cell: RecordedCell, member: str) -> str | None:
    """The sha256 of a member's weights: by the adversarial file, else by the weights record; None if unknown."""
    digests = cell.json_metadata("weights") or {}
    digest = digests.get(member) or cell.weights_record.get(member, {}).get("sha256")
    return None if digest is None else str(digest)


def _weights(cell: RecordedCell) -> Iterator[Fact]:
    digests = cell.json_metadata("weights") or {}
    for name in cell.members:
        record = cell.weights_record.get(name, {})
        place = f"weights/{name}.safetensors"
        digest = _digest(cell, place, weights_digest(cell, name))
        changed = ""
        if record and name in digests and digests[name] != record["sha256"]:
            changed = f"; NOT those of sources/{cell.source}.json"
        yield f"weights of {name}", f"{cell.folder / place}, {digest}{changed}; {_origin(cell, name, record)}"


def _origin(cell: RecordedCell, name: str, record: Mapping[str, Any]) -> str:
    """The origin of a model's weights: by their record, else by the model's entry in the zoo."""
    if "recipe" in record:
        recipe = record["recipe"]
        return f"trained here, {recipe['epochs']} epochs, seed {recipe['seed']}"
    if "file" in record:
        version = f" ({record['version']})" if record["version"] else ""
        return f"published as {record['file']}{version}, sha256 {record['file_sha256']}"
    if cell.experiment.is_trained(name):
        return "trained here"
    spec = registry.spec(name)
    pinned = spec.sha256 or cell.experiment.weights.sha256.get(name, "which nothing pins")
    version = f" ({spec.version})" if spec.version else ""
    return f"published as {spec.file or registry.file_names(spec)[0]}{version}, sha256 {pinned}"


def _libraries(cell: RecordedCell) -> Iterator[Fact]:
    libraries = ("crossfool", first_edition.NAME, "torch", "torchvision", "timm")
    versions = [f"{name} {cell.metadata[name]}" for name in libraries if name in cell.metadata]
    if versions:
        yield "libraries", ", ".join(versions)


def _file(cell: RecordedCell) -> Iterator[Fact]:
    locked = cell.locked_file.get("md5")
    if cell.file is None:
        yield "path", f"{cell.path} is not here; {recovery.how_to_get(cell.path)}"
        yield (
            "dvc.lock",
            f"md5 {locked}, {cell.locked_file['size']:,} bytes" if locked else "does not name it: it was not run yet",
        )
        return
    images = cell.file["images"]  # checks its sha256, too
    yield (
        "path",
        f"{cell.path}, {cell.path.stat().st_size:,} bytes: {images.dtype} {' × '.join(map(str, images.shape))}",
    )
    digest = md5(cell.path)
    yield "sha256", sha256(cell.path)
    yield "md5", digest
    agreement = (
        "the same md5" if locked == digest else f"md5 {locked}: ANOTHER FILE" if locked else "does not name the file"
    )
    yield "dvc.lock", agreement


def _commands(cell: RecordedCell) -> Iterator[Fact]:
    """The commands that compute the cell again."""
    place = "" if cell.folder.resolve() == Path.cwd() else f"{cell.folder / 'dvc.yaml'}:"
    yield "if need be", f"dvc repro '{place}{cell.stage}'"
    yield "in any case", f"dvc repro --force --single-item '{place}{cell.stage}'"


def _rates(cell: RecordedCell) -> Iterator[Fact]:
    places = {
        "rates": f"metrics/{cell.source}/{cell.name}.json",
        "predictions": f"predictions/{cell.source}/{cell.name}.parquet",
        "destruction": f"metrics/{cell.source}/{cell.name}.transform.json",
    }
    paths = {name: cell.folder / place for name, place in places.items() if (cell.folder / place).is_file()}
    yield from ((name, str(path)) for name, path in paths.items())
    if not paths:
        yield "none yet", f"they will be in {cell.folder / places['rates']}"
    for target, rates in cell.metrics().items():
        mark = " (white-box)" if rates["whitebox"] else ""
        yield f"top-1 on {target}", f"{rates['top1']:.1f}% [{rates['top1_low']:.1f}, {rates['top1_high']:.1f}]{mark}"
