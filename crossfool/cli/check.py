"""The output of `crossfool check`: what is valid, what will run, what it costs, and what is probably a mistake."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from rich.console import Console
from rich.text import Text

from crossfool.errors import PIXEL, in_pixels
from crossfool.experiment import costs
from crossfool.experiment.config import Experiment
from crossfool.experiment.preflight import Preflight

ROWS = 20  # attacks whose gradients are told one by one


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
