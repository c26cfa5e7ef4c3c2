"""The output of `crossfool check`: validity, stages to run, cost, and settings that are probably mistakes."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from crossfool.datasets.preparation.config import Subset
from crossfool.errors import MAX_PIXEL, share_in_pixels
from crossfool.experiment import costs, output_sizes
from crossfool.experiment.candidate_images import Candidates
from crossfool.experiment.config import Experiment
from crossfool.experiment.dvc_status import NEVER_RAN, Stage
from crossfool.experiment.fetches import Fetch
from crossfool.experiment.preflight import Preflight
from crossfool.models.defended_models import find_defended

MOST_REASONS_SHOWN = 12
FETCH = "fetch weights"  # the stage `train` of a model with published weights
MOST_ATTACKS_SHOWN = 20  # up to so many attacks, the gradient evaluations of each are printed


def show(preflight: Preflight, console: Console, rate: float | None = None) -> None:
    """Print the result of a check, a line a fact.

    Args:
        preflight: The result.
        console: Where to print.
        rate: Gradients a second, for the time; an assumption or this machine's cells give it where it is None.
    """
    for label, text in facts(preflight, rate):
        console.print(Text.assemble((f"{label:10}", "bold"), text), soft_wrap=True)


def content(preflight: Preflight, rate: float | None = None) -> dict[str, Any]:
    """The result of a check as numbers, for JSON: sizes are bytes, `seconds` an estimate; None for what is unknown."""
    experiment, left, total = preflight.experiment, preflight.left, preflight.total
    unknown = preflight.is_count_unknown
    return {
        "models": list(experiment.models),
        "sources": list(experiment.sources),
        "gradients_per_image": {name: row.gradient_evaluations for name, row in experiment.rows.items()},
        "images": preflight.evaluated or experiment.dataset.IMAGES,
        "attacked": preflight.attacked if preflight.attacked is not None else preflight.known,
        "candidates": None if preflight.candidates is None else asdict(preflight.candidates),
        "stages": None
        if preflight.stages is None
        else [asdict(stage) | {"kind": _kind(stage, experiment)} for stage in preflight.stages],
        "gradients": None if unknown else left.gradients,
        "gradients_in_all": None if unknown else total.gradients,
        "forward_passes": None if unknown else left.passes,
        "seconds": preflight.estimated_seconds(rate),
        "downloads": [asdict(fetch) for fetch in preflight.fetched],
        "written": dict(left.folders),
        "free": preflight.free,
        "notes": [*_doubts(experiment), *preflight.notes],
    }


def facts(preflight: Preflight, rate: float | None = None) -> Iterator[tuple[str, str]]:
    """(label, text) of each line; the label is empty where a line goes on with the one above."""
    experiment, total, left = preflight.experiment, preflight.total, preflight.left
    rows, sources = len(experiment.rows), len(experiment.sources)
    yield (
        "params",
        f"valid: {_many(len(experiment.models), 'model')}, {_many(sources, 'source')} × {_many(rows, 'attack')}",
    )
    if in_l2 := [name for name, row in experiment.rows.items() if row.norm == "l2"]:
        yield "norm", f"L2: {', '.join(in_l2)}; their epsilon and step_size are lengths over the whole image"
    for model in experiment.answering:
        if defended := find_defended(model):
            passes = "1 forward pass" if defended.draws == 1 else f"{defended.draws} forward passes"
            yield "defence", f"{model}: {defended.summary}; {passes} an image"
    yield from (("note", line) for line in _doubts(experiment))
    yield from (("note", line) for line in preflight.notes)
    yield "images", f"{preflight.images}: {_image_count(preflight)}"
    yield "attacked", _attacked(preflight)
    yield from (("to run" if not number else "", line) for number, line in enumerate(_to_run(preflight)))
    yield from (("why" if not number else "", line) for number, line in enumerate(_reasons(preflight)))
    share = f" of {_count(total.gradients)} in all" if left.gradients != total.gradients else ""
    unknown = preflight.is_count_unknown
    evaluations = f"{_count(left.gradients)}{share}, and {_count(left.passes)} forward passes"
    yield "gradients", "unknown until then" if unknown else evaluations
    if 1 < len(experiment.attacks) <= MOST_ATTACKS_SHOWN:
        yield (
            "",
            "an image and model: "
            + ", ".join(f"{name} {row.gradient_evaluations}" for name, row in experiment.attacks.items()),
        )
    if preflight.most != left:
        yield "", f"{_count(preflight.most.gradients)}, and {_count(preflight.most.passes)}, if the subset changes"
    yield "time", _time(preflight, rate)
    yield "download", _downloads(preflight.fetched)
    more = " and more" if unknown else ""
    yield "disk", f"{costs.bytes_text(left.written)}{more} to write, {costs.bytes_text(preflight.free)} free"
    if left.written:
        yield "", _folders(preflight)


def _image_count(preflight: Preflight) -> str:
    """The number of images in the data set, where it is known."""
    count = preflight.evaluated or preflight.experiment.dataset.IMAGES
    return "as many as it holds" if count is None else _many(count, "image")


def _attacked(preflight: Preflight) -> str:
    """The number of attacked images, how they are chosen, and the number of tuning images."""
    subset = preflight.experiment.subset
    if subset.uses_tuning:
        return f"{_many(subset.tuning or 0, 'tuning image')}, not for publication; those that reports score are others"
    apart = f"; {_many(subset.tuning, 'tuning image')} set apart" if subset.tuning else ""
    if preflight.candidates is not None and (subset.images == "all" or not preflight.candidates.unknown):
        return f"{_drawn(subset, preflight.candidates)}{apart}"
    if preflight.is_count_unknown:
        return f"how many images are attacked is not known until they are decoded{apart}"
    if subset.images == "all" and subset.of == "correct" and preflight.attacked is None:
        return f"how many images all models classify correctly is not known yet: {preflight.known:,} at most{apart}"
    count = subset.images if preflight.attacked is None and subset.images != "all" else preflight.attacked
    pool = " that all models get right" if subset.of == "correct" else ", whether models are right on them or not"
    return f"{_many(count or 0, 'image')}{pool}{apart}"


def _drawn(subset: Subset, candidates: Candidates) -> str:
    """The number of attacked images, how many all models classify correctly, and the models that shrink that most."""
    models, unknown = candidates.models, candidates.unknown
    drawn = candidates.drawn(subset)
    among = f"{candidates.correct:,} of {_many(candidates.images, 'image')}"
    text = among if drawn == candidates.correct else f"{_many(drawn, 'image')}, drawn from {among}"
    classify = f"{len(models)} models classify" if len(models) > 1 else f"{models[0]} classifies"
    if unknown:
        missing = unknown[0] if len(unknown) == 1 else f"{len(unknown)} more models"
        return f"{text} at most: {classify} them correctly; the clean predictions of {missing} are not known yet"
    text = f"{text}: {'all ' if len(models) > 1 else ''}{classify} them correctly"
    if not candidates.effect:
        return text
    use = "attacks" if subset.images == "all" else "draws from"
    return f"{text}; {candidates.effect} (subset: {{of: all}} {use} all images)"


def _downloads(fetched: Sequence[Fetch]) -> str:
    """Say what is fetched from a network, and its size."""
    if not fetched:
        return "nothing"
    return "; ".join(f"{fetch.what} ({_fetched_size(fetch)})" for fetch in fetched)


def _fetched_size(fetch: Fetch) -> str:
    """The size of what is fetched, in words."""
    if fetch.size is None:
        return "size unknown"
    return f"{'' if fetch.exact else 'about '}{costs.bytes_text(fetch.size)}"


def _folders(preflight: Preflight) -> str:
    """Say what is written to each folder, the largest first, and how much of it are snapshots."""
    left, experiment = preflight.left, preflight.experiment
    snapshots = output_sizes.snapshot_bytes(experiment, preflight.attacked or preflight.known or 0)
    is_whole = left.folders.get("adversarial") == preflight.total.folders.get("adversarial")
    noted = f" (of which snapshots {costs.bytes_text(snapshots)})" if snapshots and is_whole else ""
    sizes = sorted(left.folders.items(), key=lambda item: -item[1])
    return ", ".join(
        f"{folder}/ {costs.bytes_text(size)}{noted if folder == 'adversarial' else ''}"
        for folder, size in sizes
        if size
    )


def _doubts(experiment: Experiment) -> Iterator[str]:
    """Notes on settings that are valid and seldom meant."""
    for where, names in (("sources", experiment.sources), ("attacks", experiment.rows)):
        for alike in _alike_but_for_case(names):
            files = "on a disk that ignores case (macOS's, Windows's) they are one file"
            yield f"{where}: {' and '.join(alike)} differ in case alone: {files}"
    for name, row in experiment.rows.items():
        if row.step_size is None or row.epsilon == 0:
            continue
        if row.step_size > row.epsilon:
            yield f"{name}: a step of {row.step_size:g} is larger than epsilon, {row.epsilon:g}: every step is cut"
        elif row.steps * row.step_size < row.epsilon * (1 - 1e-9):
            reach = f"{row.steps} {'step' if row.steps == 1 else 'steps'} of {row.step_size:g}"
            meant = (
                f"; did you mean {share_in_pixels(row.step_size)}?" if MAX_PIXEL * row.step_size <= row.epsilon else ""
            )
            yield f"{name}: {reach} reach {row.steps * row.step_size:g}, and never epsilon, {row.epsilon:g}{meant}"


def _alike_but_for_case(names: Iterable[str]) -> Iterator[list[str]]:
    """Groups of names that differ in case alone."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name.lower(), []).append(name)
    return (group for group in groups.values() if len(group) > 1)


def _to_run(preflight: Preflight) -> Iterator[str]:
    """Lines on the stages that will run."""
    if preflight.stages is None:
        yield "everything (this is not a DVC repository)"
        return
    kinds = {stage: _kind(stage, preflight.experiment) for stage in preflight.stages}
    total = Counter(kinds.values())
    runs = _counted(total, Counter(kinds[stage] for stage in preflight.stages if stage.runs))
    yield runs or "nothing: all is up to date"
    if any(stage.maybe for stage in preflight.stages):
        maybe = _counted(total, Counter(kinds[stage] for stage in preflight.stages if stage.runs or stage.maybe))
        yield f"if the subset changes: {maybe}"
    absent = sum(stage.absent for stage in preflight.stages)
    if absent:
        stages = _many(absent, "stage")
        brings = f"`dvc checkout` or `{preflight.pull}` brings them" if preflight.pull else "`dvc checkout` brings them"
        yield f"{stages} more up to date, whose files are not all here: {brings}"
    if runs and absent < len(preflight.stages):
        yield "less what DVC's run cache holds already"


def _reasons(preflight: Preflight) -> Iterator[str]:
    """Lines on why stages will run, a line a reason; without `plan`, which any edit reruns, and later ones."""
    running = (stage for stage in preflight.stages or () if stage.runs and stage.kind != "plan")
    stages = [stage for stage in running if not stage.why.startswith("after ")]
    if all(stage.why == NEVER_RAN for stage in stages):
        return
    reasons: dict[str, list[str]] = {}
    for stage in stages:
        reasons.setdefault(stage.why, []).append(_kind(stage, preflight.experiment))
    total = Counter(_kind(stage, preflight.experiment) for stage in preflight.stages or ())
    lines = [f"{_counted(total, Counter(kinds))}: {why}" for why, kinds in reasons.items()]
    yield from lines[:MOST_REASONS_SHOWN]
    if len(lines) > MOST_REASONS_SHOWN:
        yield f"and {len(lines) - MOST_REASONS_SHOWN} more reasons"


def _kind(stage: Stage, experiment: Experiment) -> str:
    """The stage's name for people: published weights are fetched, not trained, by the stage `train`."""
    if stage.kind == "train" and not experiment.is_trained(Path(stage.outs[0]).stem):
        return FETCH
    return stage.kind


def _counted(total: Mapping[str, int], counts: Mapping[str, int]) -> str:
    """The number of stages of each kind, out of the total of that kind, as a list."""
    return ", ".join(
        kind if total[kind] == 1 else f"{kind} {counts[kind]} of {total[kind]}" for kind in total if counts[kind]
    )


def _time(preflight: Preflight, rate: float | None) -> str:
    """The estimated time and what it rests on."""
    if preflight.is_count_unknown:
        return "unknown until then"
    if not preflight.left.gradients and not preflight.left.passes:
        return "none"
    seconds = preflight.estimated_seconds(rate)
    if seconds is None:
        return "unknown: timm's models have no published count of operations; give --rate"
    return f"an estimated {costs.duration_text(seconds)} {_basis(preflight, rate)}"


def _basis(preflight: Preflight, rate: float | None) -> str:
    """The basis of an estimate of time."""
    starts, advice = f"{costs.STAGE_SECONDS:g} s a stage", "; --rate takes a measured rate"
    if rate is not None:
        return f"at {rate:g} gradients a second, {starts}, without training and decoding"
    if preflight.rate is not None:
        measured = f"at {preflight.rate:.3g} gradients a second, as its cells took here"
        return f"{measured}, {starts}, without training and decoding"
    if costs.is_small(preflight.experiment):
        speed = f"{costs.CPU_OPERATIONS_A_SECOND / 1e12:g} TFLOP/s, {starts}"
        return f"on two CPU cores ({speed}), without training{advice}"
    speed = f"{costs.GPU_OPERATIONS_A_SECOND / 1e12:g} TFLOP/s (about 40% of an A100's float32)"
    return f"at {speed}, {starts}, without training and decoding{advice}"


def _many(count: int, noun: str) -> str:
    """A count and its noun, as a plural where it is one."""
    return f"{count} {noun}" if count == 1 else f"{count:,} {noun}s"


def _count(count: int) -> str:
    return costs.count_text(count) if count >= 10_000 else f"{count:,}"
