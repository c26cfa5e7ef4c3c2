"""The image panel of an experiment: choice of its images, attacks and targets, and their predictions."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from crossfool.datasets.preparation.class_names import class_names
from crossfool.errors import UserError
from crossfool.experiment.config import Experiment
from crossfool.experiment.descriptions import attack_summary, attacked_images_summary
from crossfool.experiment.results.metrics import Results
from crossfool.pipeline.evaluation import predictions_file
from crossfool.report.figures import image_panel, style
from crossfool.report.perturbations import enlarged
from crossfool.storage.tensors import TensorFile

IMAGES = 4  # rows of the panel
TARGETS = 3  # at most so many have their predictions shown


def draw_experiment_panel(
    folder: Path, results: Results, subset: TensorFile, cells: Mapping[tuple[str, str], TensorFile]
) -> Figure | None:
    """Draw the subset's first images, clean and under two attacks of one source, with black-box targets' predictions.

    Args:
        folder: The experiment's, with its predictions.
        results: Its metrics.
        subset: The attacked images.
        cells: Source and attack -> adversarial images.

    Returns:
        The figure; None where there is no source, attack or image.

    Raises:
        UserError: a file is missing, damaged or of other images.
    """
    experiment = results.experiment
    attacks = _two_attacks(tuple(experiment.attacks))
    if not experiment.sources or not attacks or not results.n:
        return None
    source, targets = _source_and_targets(experiment)
    names = class_names(experiment.dataset.family)
    ids, labels = (np.asarray(subset[name][:IMAGES]) for name in ("index", "labels"))
    clean = np.asarray(subset["images"][:IMAGES])
    clean_paths = {model: folder / "predictions/clean" / f"{model}.parquet" for model in targets}
    before = {model: predictions_file.read_clean(path)[1][ids, 0] for model, path in clean_paths.items()}

    columns, shots = ["clean"], [[image_panel.Shot(style.channels_last(image))] for image in clean]
    for row, row_shots in enumerate(shots):
        row_shots[0] = _shot(clean[row], [before[model][row] for model in targets], labels[row], names)
    for attack in attacks:
        file = cells[source, attack]
        if file["images"].shape != subset["images"].shape:
            raise UserError(f"{file.path}: images are {file['images'].shape}, expected {subset['images'].shape}")
        adversarial = np.asarray(file["images"][:IMAGES])
        path = folder / "predictions" / source / f"{attack}.parquet"
        after = {model: _predicted_classes(path, model, results.n) for model in targets}
        epsilon = experiment.attacks[attack].epsilon
        gain = 127 / epsilon if epsilon else 1.0
        columns += [attack, f"perturbation\n× {gain:.3g}"]
        for row, row_shots in enumerate(shots):
            row_shots.append(_shot(adversarial[row], [after[model][row] for model in targets], labels[row], names))
            perturbation = enlarged(adversarial[row], clean[row], gain)
            row_shots.append(image_panel.Shot(style.channels_last(perturbation)))
    kind = "black-box" if targets[0] not in source.split("+") else "white-box"
    subtitle = "\n".join(
        [
            f"Source {source}, {kind} targets below; the first {len(ids)} of {attacked_images_summary(results)}.",
            *(f"{attack}: {attack_summary(experiment.attacks[attack])}." for attack in attacks),
        ]
    )
    rows = [(names[label], row_shots) for label, row_shots in zip(labels, shots, strict=True)]
    return image_panel.draw_panel("Images and answers", subtitle, columns, targets, rows)


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
        raise UserError(f"{path} has {len(top)} answers of {model}, expected {count}; delete it and run `dvc repro`")
    return top[:, 0]


def _shot(pixels: np.ndarray, predicted: Sequence[int], label: int, names: Sequence[str]) -> image_panel.Shot:
    """A picture of pixels (C,H,W) with each target's predicted class below it."""
    return image_panel.Shot(
        style.channels_last(pixels), [(names[number], bool(number == label)) for number in predicted]
    )
