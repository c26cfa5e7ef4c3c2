"""Choice of the images that the image panel shows."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from crossfool.datasets.class_names import class_names
from crossfool.errors import UserError
from crossfool.experiment.config import Experiment
from crossfool.experiment.descriptions import chosen, words
from crossfool.experiment.results.metrics import Results
from crossfool.pipeline.evaluation import predictions_file
from crossfool.report.figures import image_panel, style
from crossfool.storage.tensors import TensorFile

IMAGES = 4  # rows of the panel
TARGETS = 3  # whose answers it shows


def build_panel(
    folder: Path, results: Results, subset: TensorFile, cells: Mapping[tuple[str, str], TensorFile]
) -> Figure | None:
    """The first images of the subset, clean and under two attacks of one source, with black-box targets' answers."""
    experiment = results.experiment
    attacks = _two_attacks(tuple(experiment.attacks))
    if not experiment.sources or not attacks or not results.n:
        return None
    source, targets = _pair(experiment)
    names = class_names(experiment.dataset.family)
    ids, labels = (np.asarray(subset[name][:IMAGES]) for name in ("index", "labels"))
    clean = np.asarray(subset["images"][:IMAGES])
    tables = {model: folder / "predictions/clean" / f"{model}.parquet" for model in targets}
    before = {model: predictions_file.read_clean(path)[1][ids, 0] for model, path in tables.items()}

    columns, shots = ["clean"], [[image_panel.Shot(style.picture(image))] for image in clean]
    for row, own in enumerate(shots):
        own[0] = _shot(clean[row], [before[model][row] for model in targets], labels[row], names)
    for attack in attacks:
        file = cells[source, attack]
        if file["images"].shape != subset["images"].shape:
            raise UserError(f"{file.path}: images are {file['images'].shape}, expected {subset['images'].shape}")
        adversarial = np.asarray(file["images"][:IMAGES])
        table = folder / "predictions" / source / f"{attack}.parquet"
        after = {model: _answers(table, model, results.n) for model in targets}
        epsilon = experiment.attacks[attack].epsilon
        gain = 127 / epsilon if epsilon else 1.0
        columns += [attack, f"perturbation\n× {gain:.3g}"]
        for row, own in enumerate(shots):
            own.append(_shot(adversarial[row], [after[model][row] for model in targets], labels[row], names))
            change = adversarial[row].astype(float) - clean[row]
            own.append(image_panel.Shot(style.picture(np.clip(np.rint(128 + gain * change), 0, 255).astype(np.uint8))))
    kind = "black-box" if targets[0] not in source.split("+") else "white-box"
    subtitle = "\n".join(
        [
            f"Source {source}, {kind} targets below; the first {len(ids)} of {chosen(results)}.",
            *(f"{attack}: {words(experiment.attacks[attack])}." for attack in attacks),
        ]
    )
    rows = [(names[label], own) for label, own in zip(labels, shots, strict=True)]
    return image_panel.panel("Images and answers", subtitle, columns, targets, rows)


def _two_attacks(names: tuple[str, ...]) -> list[str]:
    """igsm and sg_igsm, where both are; else another attack and its smoothed one; else the first two."""
    for plain in ("igsm", *names):
        if plain in names and f"sg_{plain}" in names:
            return [plain, f"sg_{plain}"]
    return list(names[:2])


def _pair(experiment: Experiment) -> tuple[str, list[str]]:
    """A source and targets that are not in it (its own, where every source holds every model)."""
    for source in experiment.sources:
        targets = [model for model in experiment.answering if model not in source.split("+")]
        if targets:
            return source, targets[:TARGETS]
    return experiment.sources[0], list(experiment.answering[:TARGETS])


def _answers(path: Path, model: str, count: int) -> np.ndarray:
    """A target's most probable classes (N,), in the order of the subset, from a cell's predictions.

    Raises:
        UserError: the table is of other models or another number of images.
    """
    top = predictions_file.read_cell(path)[0].get(model, np.empty((0, 5), np.int64))
    if len(top) != count:
        raise UserError(f"{path} has {len(top)} answers of {model}, expected {count}; delete it and run `dvc repro`")
    return top[:, 0]


def _shot(pixels: np.ndarray, given: Sequence[int], label: int, names: Sequence[str]) -> image_panel.Shot:
    return image_panel.Shot(style.picture(pixels), [(names[answer], bool(answer == label)) for answer in given])
