"""What a cell is: what was computed, from which bytes, by which update, and how to do it again. Imports no torch."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossfool import first_edition
from crossfool.attacks import sweeps
from crossfool.attacks.config import Attack
from crossfool.errors import UserError, unknown
from crossfool.experiment import descriptions, loading
from crossfool.experiment.config import Experiment
from crossfool.experiment.formulas import WORDS, Fact, factors, update
from crossfool.models.weights import registry
from crossfool.pipeline.crafting import weights_record
from crossfool.storage import recovery
from crossfool.storage.dvc_lock import outputs
from crossfool.storage.hashing import md5, sha256
from crossfool.storage.json_files import read_json
from crossfool.storage.tensors import TensorFile


@dataclass(frozen=True)
class Cell:
    """One cell, as far as it is known.

    Attributes:
        folder: The experiment's.
        source, name: The source, and the attack's name.
        experiment: Its params.yaml.
        path: Of the adversarial file, which may not be there.
        file: What it says of itself, and its images' shape; None where it is not there.
        attack: The attack that made the file, by its metadata or dvc.lock; of params.yaml where neither has it.
        locked: What dvc.lock says of each output: md5, size, stage, params; by its path in the folder.
        fingerprint: sources/<source>.json; empty where it is not there.
    """

    folder: Path
    source: str
    name: str
    experiment: Experiment
    path: Path
    file: TensorFile | None
    attack: Attack
    locked: Mapping[str, Mapping[str, Any]]
    fingerprint: Mapping[str, Any]

    @property
    def members(self) -> list[str]:
        return self.source.split("+")

    @property
    def own(self) -> Mapping[str, Any]:
        """What dvc.lock says of the adversarial file; empty where it names none."""
        return self.locked.get(f"adversarial/{self.source}/{self.name}.safetensors", {})

    @property
    def metadata(self) -> Mapping[str, str]:
        return self.file.metadata if self.file else {}


def find(cell: str, folder: Path) -> Cell:
    """A cell by `source/attack`, `source-attack` as DVC writes it, or its file's path, which tells the folder too.

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
                f"{cell!r} is no cell; expected source/attack, or a path adversarial/source/attack.safetensors"
            )
    experiment = loading.load(folder / "params.yaml")
    if source not in experiment.sources:
        raise unknown("source", source, experiment.sources)
    row, path = experiment.row(name), folder / "adversarial" / source / f"{name}.safetensors"
    file = TensorFile(path) if path.is_file() else None
    lock, known = folder / "dvc.lock", folder / "sources" / f"{source}.json"
    locked = outputs(lock.read_text(encoding="utf-8")) if lock.is_file() else {}
    then = locked.get(f"adversarial/{source}/{name}.safetensors", {}).get("params", {}).get(f"attacks.{name}")
    if file and "params" in file.metadata:
        then = file.said_json("params")
    try:
        row = Attack.model_validate(then) if then else row
    except ValueError as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{path} was made by params that are no attack of this version ({reason}); run `dvc repro`"
        ) from None
    fingerprint = weights_record.read(known)["members"] if known.is_file() else {}
    return Cell(folder, source, name, experiment, path, file, row, locked, fingerprint)


def sections(cell: Cell) -> dict[str, list[Fact]]:
    """All that is known, by section."""
    return {
        "What": list(_what(cell)),
        "Update": list(update(cell.attack, len(cell.members))),
        "Parameters": list(_parameters(cell)),
        "From": [*_subset(cell), *_weights(cell), *_libraries(cell)],
        "File": list(_file(cell)),
        "Again": list(_again(cell)),
        "Rates": list(_rates(cell)),
    }


def _what(cell: Cell) -> Iterator[Fact]:
    aim = "the label drawn for each image is the answer" if cell.attack.targeted else "the answer is not the true label"
    source = " + ".join(cell.members)
    yield "cell", f"{cell.name} from {source}{' (an ensemble)' if len(cell.members) > 1 else ''}"
    yield "attack", descriptions.words(cell.attack)
    yield "images", _images(cell)
    yield "success", f"{aim}; counted on the stored uint8 images"
    count = _count(cell)
    each = cell.attack.gradients
    of = "" if cell.attack.method else f"{factors(cell.attack)} = "
    cost = f"{of}{each:,} an image and model"
    if count:
        members = f" · {len(cell.members)} models" if len(cell.members) > 1 else ""
        cost += f"; · {count:,} images{members} = {count * each * len(cell.members):,}"
    yield "gradients", cost


def _images(cell: Cell) -> str:
    count, subset = _count(cell), cell.experiment.subset
    number = f"{count:,}" if count else "all" if subset.images == "all" else f"{subset.images:,} (asked)"
    every = subset.images == "all"
    drawn = "every one" if every else f"drawn with seed {subset.seed} from those"
    if subset.of == "all":
        drawn = "every one" if every else f"drawn with seed {subset.seed}"
        none = "; no image is right under all models" if _right(cell) == 0 else ""
        return f"{number} of {cell.experiment.dataset.name}: {drawn}, whether models are right on it or not{none}"
    many = len(cell.experiment.models)
    models = f"all {many} models classify" if many > 1 else "the model classifies"
    return f"{number} of {cell.experiment.dataset.name}: {drawn} that {models} correctly"


def _right(cell: Cell) -> int | None:
    """How many of the attacked images all models get right, by the cell's details; None where they do not say."""
    path = cell.folder / "metrics" / cell.source / f"{cell.name}.detail.json"
    found = read_json(path) if path.is_file() else {}
    ways = found.get("denominators") if isinstance(found, dict) else None
    first = next(iter(ways.values()), None) if isinstance(ways, dict) else None
    if not isinstance(first, dict) or "all_right" not in first:
        return None
    return int(first["all_right"]["n"]) if first["all_right"] else 0


def _count(cell: Cell) -> int | None:
    """How many images were attacked: by the file, else by the metrics, which are in git."""
    if cell.file:
        return int(cell.file["images"].shape[0])
    metrics = _metrics(cell)
    return next((int(rates["n"]) for rates in metrics.values()), None)


def _parameters(cell: Cell) -> Iterator[Fact]:
    values = cell.attack.model_dump()
    for key, words in WORDS.items():
        value = values[key]
        if key == "seed" and cell.attack.drawn:
            value = value or 0
        if key == "seed" and cell.attack.method is not None:
            words = "of what the library draws, from (seed, ids of the chunk's images)"
        if value is not None:
            yield f"{key} = {_said(value)}", words
    for key in (
        *(["gradient", "update"] if cell.attack.method is None else []),
        "objective",
        *(["fusion"] if len(cell.members) > 1 else []),
    ):
        yield f"{key} = {values[key]}", ""
    made = cell.file.said_json("compute") if cell.file and "compute" in cell.file.metadata else None
    compute = cell.experiment.compute.model_dump() if made is None else made
    yield "compute", ", ".join(f"{key} {value}".lower() for key, value in compute.items())
    if cell.file or cell.own:
        yield "params.yaml", _agreement(cell)


def _agreement(cell: Cell) -> str:
    """Whether params.yaml still says what made the file."""
    now, then = cell.experiment.row(cell.name).model_dump(), cell.attack.model_dump()
    changed = [f"{key} {_said(then[key])}, now {_said(now[key])}" for key in now if now[key] != then[key]]
    return f"has changed since: {'; '.join(changed)}" if changed else "says the same"


def _said(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else "not given" if value is None else str(value)


def _subset(cell: Cell) -> Iterator[Fact]:
    path, made = cell.folder / "subset/images.safetensors", cell.metadata.get("subset")
    found = sha256(path) if path.is_file() else None
    if made and found:
        agrees = "the file's" if made == found else f"NOT the file's, {found}"
        yield "subset", f"{path}, sha256 {made}: {agrees}"
    else:
        yield "subset", f"{path}, {_digest(cell, 'subset/images.safetensors', made or found)}"


def _digest(cell: Cell, place: str, known: str | None) -> str:
    """A file's sha256; where it is not known, its md5 by dvc.lock."""
    if known:
        return f"sha256 {known}"
    locked = cell.locked.get(place)
    return f"md5 {locked['md5']} by dvc.lock, not here" if locked else "not here yet"


def _weights(cell: Cell) -> Iterator[Fact]:
    made = cell.file.said_json("weights") if cell.file and "weights" in cell.file.metadata else {}
    for name in cell.members:
        about = cell.fingerprint.get(name, {})
        place = f"weights/{name}.safetensors"
        digest = _digest(cell, place, made.get(name) or about.get("sha256"))
        changed = ""
        if about and name in made and made[name] != about["sha256"]:
            changed = f"; NOT those of sources/{cell.source}.json"
        yield f"weights of {name}", f"{cell.folder / place}, {digest}{changed}; {_origin(cell, name, about)}"


def _origin(cell: Cell, name: str, about: Mapping[str, Any]) -> str:
    """Where weights come from: as their file says, else as the zoo does."""
    if "recipe" in about:
        recipe = about["recipe"]
        return f"trained here, {recipe['epochs']} epochs, seed {recipe['seed']}"
    if "file" in about:
        version = f" ({about['version']})" if about["version"] else ""
        return f"published as {about['file']}{version}, sha256 {about['file_sha256']}"
    if cell.experiment.is_trained(name):
        return "trained here"
    spec = registry.spec(name)
    pinned = spec.sha256 or cell.experiment.weights.sha256.get(name, "which nothing pins")
    version = f" ({spec.version})" if spec.version else ""
    return f"published as {spec.file or registry.files(spec)[0]}{version}, sha256 {pinned}"


def _libraries(cell: Cell) -> Iterator[Fact]:
    known = ("crossfool", first_edition.NAME, "torch", "torchvision", "timm")
    found = [f"{name} {cell.metadata[name]}" for name in known if name in cell.metadata]
    if found:
        yield "libraries", ", ".join(found)


def _file(cell: Cell) -> Iterator[Fact]:
    locked = cell.own.get("md5")
    if cell.file is None:
        yield "path", f"{cell.path} is not here; {recovery.getting(cell.path)}"
        yield (
            "dvc.lock",
            f"md5 {locked}, {cell.own['size']:,} bytes" if locked else "does not name it: it was not run yet",
        )
        return
    images = cell.file["images"]  # checks its sha256, too
    yield (
        "path",
        f"{cell.path}, {cell.path.stat().st_size:,} bytes: {images.dtype} {' × '.join(map(str, images.shape))}",
    )
    own = md5(cell.path)
    yield "sha256", sha256(cell.path)
    yield "md5", own
    agrees = "the same md5" if locked == own else f"md5 {locked}: ANOTHER FILE" if locked else "does not name the file"
    yield "dvc.lock", agrees


def _again(cell: Cell) -> Iterator[Fact]:
    stage = cell.own.get("stage") or _stage(cell)
    place = "" if cell.folder.resolve() == Path.cwd() else f"{cell.folder / 'dvc.yaml'}:"
    yield "if need be", f"dvc repro '{place}{stage}'"
    yield "in any case", f"dvc repro --force --single-item '{place}{stage}'"


def _stage(cell: Cell) -> str:
    """The name that DVC gives the cell's stage."""
    if cell.name in cell.experiment.attacks:
        return f"attack@{cell.source}-{cell.name}"
    grid: sweeps.Grid = getattr(cell.experiment.grids, cell.name[0])
    names = dict(zip(grid.cells(cell.name[0]), grid.points(), strict=True))
    return "-".join([f"attack_{cell.name[0]}@{cell.source}", *map(str, names[cell.name])])


def _metrics(cell: Cell) -> dict[str, Any]:
    path = cell.folder / "metrics" / cell.source / f"{cell.name}.json"
    found = read_json(path) if path.is_file() else {}
    return found if isinstance(found, dict) else {}


def _rates(cell: Cell) -> Iterator[Fact]:
    places = {
        "rates": f"metrics/{cell.source}/{cell.name}.json",
        "answers": f"predictions/{cell.source}/{cell.name}.parquet",
        "destruction": f"metrics/{cell.source}/{cell.name}.transform.json",
    }
    found = {what: cell.folder / place for what, place in places.items() if (cell.folder / place).is_file()}
    yield from ((what, str(path)) for what, path in found.items())
    if not found:
        yield "none yet", f"they will be in {cell.folder / places['rates']}"
    for target, rates in _metrics(cell).items():
        mark = " (white-box)" if rates["whitebox"] else ""
        yield f"top-1 on {target}", f"{rates['top1']:.1f}% [{rates['top1_low']:.1f}, {rates['top1_high']:.1f}]{mark}"
