"""Figure: clean images, adversarial images and perturbations side by side, with predicted classes below them."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from crossfool.datasets.preparation.class_names import class_names
from crossfool.errors import UserError
from crossfool.experiment.config import Experiment
from crossfool.experiment.descriptions import attack_summary, attacked_images_summary
from crossfool.experiment.results.metrics import Results
from crossfool.pipeline.evaluation import predictions_file
from crossfool.report.figures._style import add_heading, channels_last, report_style, show_image
from crossfool.report.findings import Findings
from crossfool.report.perturbations import enlarged
from crossfool.storage.tensors import TensorFile

FIGURE = {"title": "Images and predictions", "order": 10, "vector": False}
IMAGES = 4  # rows of the panel
TARGETS = 3  # at most so many have their predictions shown
RIGHT, WRONG = "#0072B2", "#C44500"  # blue and vermilion, told apart by the colour-blind; ✓ and ✗ say it too


def figures(findings: Findings) -> Iterator[tuple[str, Figure]]:
    """A figure of the subset's first images, clean and under two attacks of one source, with black-box predictions.

    Raises:
        UserError: a file is missing, damaged or of other images.
    """
    experiment = findings.experiment
    if experiment.sources and experiment.attacks and findings.results.n:
        yield "panel", _first_images(findings.folder, findings.results)


@dataclass(frozen=True)
class Shot:
    """Draw a picture of the panel.

    Attributes:
        pixels: (H,W) or (H,W,3) uint8.
        answers: The class that each target predicts, and whether it is the true one; empty for a perturbation.
    """

    pixels: np.ndarray
    answers: Sequence[tuple[str, bool]] = ()


@report_style
def draw_panel(
    title: str,
    subtitle: str,
    columns: Sequence[str],
    targets: Sequence[str],
    rows: Sequence[tuple[str, Sequence[Shot]]],
) -> Figure:
    """Draw images with the class that each target predicts below them.

    Args:
        title, subtitle: The heading above the figure.
        columns: A heading for each column.
        targets: The targets whose predictions stand under the pictures, in order.
        rows: The true class and the pictures of each image.
    """
    side, gap, line, head = 1.6, 0.14, 0.16, 0.42  # inches
    left = 0.075 * max(len(name) for name in ["the true class", *targets, *(label for label, _ in rows)]) + 0.15
    tall = side + line * len(targets) + 0.22
    width, height = left + len(columns) * (side + gap), tall * len(rows) + head
    figure = Figure(figsize=(width, height))
    add_heading(figure, title, subtitle, 0, width, height + 0.1, width, height)
    for column, heading in enumerate(columns):
        x = left + column * (side + gap) + side / 2
        figure.text(x / width, 1 - 0.08 / height, heading, ha="center", va="top", size=8.5, weight="bold")
    for number, (label, shots) in enumerate(rows):
        top = height - head - number * tall
        figure.text(0, (top - side / 2) / height, f"true class\n{label}", va="center", size=8)
        for place, target in enumerate(targets):
            y = top - side - 0.06 - line * place
            figure.text((left - 0.1) / width, y / height, target, ha="right", va="top", size=7, color="0.3")
        for column, shot in enumerate(shots):
            x = left + column * (side + gap)
            axes = figure.add_axes((x / width, (top - side) / height, side / width, side / height))
            show_image(axes, shot.pixels)
            for place, (answer, right) in enumerate(shot.answers):
                y = top - side - 0.06 - line * place
                text = f"{'✓' if right else '✗'} {textwrap.shorten(answer, 24, placeholder='…')}"
                figure.text(x / width, y / height, text, va="top", size=7, color=RIGHT if right else WRONG)
    return figure


def _first_images(folder: Path, results: Results) -> Figure:
    """The panel of an experiment that has a source, an attack and an image."""
    experiment = results.experiment
    subset = TensorFile(folder / "subset/images.safetensors")
    attacks = _two_attacks(tuple(experiment.attacks))
    source, targets = _source_and_targets(experiment)
    names = class_names(experiment.dataset.family)
    ids, labels = (np.asarray(subset[name][:IMAGES]) for name in ("index", "labels"))
    clean = np.asarray(subset["images"][:IMAGES])
    clean_paths = {model: folder / "predictions/clean" / f"{model}.parquet" for model in targets}
    before = {model: predictions_file.read_clean(path)[1][ids, 0] for model, path in clean_paths.items()}

    columns, shots = ["clean"], [[Shot(channels_last(image))] for image in clean]
    for row, row_shots in enumerate(shots):
        row_shots[0] = _shot(clean[row], [before[model][row] for model in targets], labels[row], names)
    for attack in attacks:
        file = TensorFile(folder / "adversarial" / source / f"{attack}.safetensors")
        if file["images"].shape != subset["images"].shape:
            raise UserError(f"{file.path}: images are {file['images'].shape}, expected {subset['images'].shape}")
        adversarial = np.asarray(file["images"][:IMAGES])
        path = folder / "predictions" / source / f"{attack}.parquet"
        after = {model: _predicted_classes(path, model, results.n) for model in targets}
        settings = experiment.attacks[attack]
        most = settings.epsilon if settings.norm is None else np.abs(adversarial.astype(int) - clean).max(initial=0)
        gain = 127 / most if most else 1.0
        columns += [attack, f"perturbation\n× {gain:.3g}"]
        for row, row_shots in enumerate(shots):
            row_shots.append(_shot(adversarial[row], [after[model][row] for model in targets], labels[row], names))
            perturbation = enlarged(adversarial[row], clean[row], gain)
            row_shots.append(Shot(channels_last(perturbation)))
    kind = "black-box" if targets[0] not in source.split("+") else "white-box"
    subtitle = "\n".join(
        [
            f"Source {source}, {kind} targets below; the first {len(ids)} of {attacked_images_summary(results)}.",
            *(f"{attack}: {attack_summary(experiment.attacks[attack])}." for attack in attacks),
        ]
    )
    rows = [(names[label], row_shots) for label, row_shots in zip(labels, shots, strict=True)]
    return draw_panel("Images and predictions", subtitle, columns, targets, rows)


def _two_attacks(names: tuple[str, ...]) -> list[str]:
    """Names of igsm and sg_igsm, where both are there; else another attack and its smoothed one; else the first two."""
    for plain in ("igsm", *names):
        if plain in names and f"sg_{plain}" in names:
            return [plain, f"sg_{plain}"]
    return list(names[:2])


def _source_and_targets(experiment: Experiment) -> tuple[str, list[str]]:
    """A source and targets that are no members of it; the first source and its members where every source has all."""
    for source in experiment.sources:
        targets = [model for model in experiment.answering if model not in source.split("+")]
        if targets:
            return source, targets[:TARGETS]
    return experiment.sources[0], list(experiment.answering[:TARGETS])


def _predicted_classes(path: Path, model: str, count: int) -> np.ndarray:
    """The most probable classes (N,) of a target, in the order of the subset, from a cell's predictions.

    Raises:
        UserError: the file is of other models or another number of images.
    """
    top = predictions_file.read_cell(path)[0].get(model, np.empty((0, 5), np.int64))
    if len(top) != count:
        raise UserError(f"{path} has {len(top)} predictions of {model}, expected {count}; delete it, run `dvc repro`")
    return top[:, 0]


def _shot(pixels: np.ndarray, predicted: Sequence[int], label: int, names: Sequence[str]) -> Shot:
    """A picture of pixels (C,H,W) with each target's predicted class below it."""
    return Shot(channels_last(pixels), [(names[number], bool(number == label)) for number in predicted])
