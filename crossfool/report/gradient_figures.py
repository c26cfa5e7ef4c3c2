"""Figures of an experiment's gradient analyses: similarity (3a), decision boundaries (3b, 6, 9) and saliency maps.

The numbers in parentheses are the paper's figures. Each function reads what the analysis stored and needs no model.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from crossfool.datasets.preparation.class_names import class_names
from crossfool.errors import UserError
from crossfool.experiment.config import Experiment
from crossfool.pipeline.gradient_analysis.config import Boundary, Saliency
from crossfool.report.figures import boundary, saliency, similarity
from crossfool.report.figures.style import Point, channels_last
from crossfool.report.table import Row
from crossfool.storage.tensors import TensorFile


def draw_similarity(experiment: Experiment, rows: Sequence[Row]) -> Figure:
    """The figure of gradient similarity, from all rows of `similarity_rows`."""
    lines: dict[str, tuple[Point, list[Point]]] = {}
    analyses = experiment.similarity
    pairs = [(analysis.source, analysis.target) for analysis in analyses.values()]
    sigmas = {analysis.sigma for analysis in analyses.values()}
    counts = sorted({analysis.images for analysis in analyses.values()})
    for name, analysis in analyses.items():
        plain, *smoothed = [
            Point(row["samples"], row["cosine"], row["low"], row["high"]) for row in rows if row["analysis"] == name
        ]
        label = f"{analysis.source} → {analysis.target}"
        if len(pairs) > len(set(pairs)) or len(sigmas) > 1:
            label += f" ({name}: σ = {analysis.sigma:g})"
        lines[label] = plain, smoothed
    spread = f" (σ = {sigmas.pop():g})" if len(sigmas) == 1 else ""
    images = " or ".join(f"{count:,}" for count in counts)
    subtitle = (
        f"Cosine of the source's smoothed gradient{spread} with the target's gradient, mean over "
        f"{images} images with normal 95% intervals; dashed: the source's plain gradient"
    )
    return similarity.draw_similarity("Similarity of gradients", subtitle, lines)


def draw_boundary(folder: Path, name: str, plane: Boundary, experiment: Experiment) -> Figure:
    """The figure of one analysis of decision boundaries.

    Args:
        folder: The experiment's.
        name: The analysis.
        plane: Its parameters.
        experiment: The experiment, for its data set's class names.

    Raises:
        UserError: the analysis's file is damaged, or its metadata does not fit.
    """
    file = TensorFile(folder / "analysis/boundary" / f"{name}.safetensors")
    label_text, names = file.metadata_text("label"), class_names(experiment.dataset.family)
    targets, planes = file.metadata_object("params").get("targets"), np.asarray(file["labels"])
    if label_text not in map(str, range(len(names))) or not isinstance(targets, list) or len(targets) != len(planes):
        raise UserError(f"{file.path} does not say what it is of; delete it and run `dvc repro`")
    label, predictions = int(label_text), dict(zip(map(str, targets), planes, strict=True))
    unit = "pixel values" if plane.sign else "L2 length, pixel values"
    directions = ("sign of G", "sign of h") if plane.sign else ("smoothed gradient G", "noise h = g − ⟨g, G⟩ G")
    subtitle = (
        f"Source {plane.source}, image {plane.image} ({names[label].split(',')[0]}); G of m = {plane.samples} samples "
        f"with σ = {plane.sigma:g}; colours are the answers of the model above"
    )
    u, v = np.asarray(file["u"], float), np.asarray(file["v"], float)
    axis_labels = f"u along the {directions[0]} ({unit})", f"v along the {directions[1]}"
    title = f"Decision boundaries ({'signs' if plane.sign else 'unit vectors'})"
    image = channels_last(file["image"])
    return boundary.draw_boundary(title, subtitle, *axis_labels, u, v, image, predictions, label, names)


def draw_saliency(folder: Path, name: str, analysis: Saliency, experiment: Experiment) -> Figure:
    """The figure of one analysis of saliency.

    Args:
        folder: The experiment's.
        name: The analysis.
        analysis: Its parameters.
        experiment: The experiment, for its data set's class names.
    """
    file = TensorFile(folder / "analysis/saliency" / f"{name}.safetensors")
    names = class_names(experiment.dataset.family)
    labels = [names[label].split(",")[0] for label in np.asarray(file["labels"])]
    rows: Sequence[tuple[str, np.ndarray, Sequence[np.ndarray]]] = [
        (f"{label}\n(image\u00a0{id})", channels_last(image), list(np.asarray(gradients, float)))
        for label, id, image, gradients in zip(labels, analysis.images, file["images"], file["gradients"], strict=True)
    ]
    columns = ["image", "gradient", *(f"smoothed, m = {m}" for m in analysis.samples)]
    subtitle = (
        f"{analysis.model}: absolute gradient of the loss, summed over channels and clipped at its 99th percentile; "
        f"smoothed with σ = {analysis.sigma:g}"
    )
    return saliency.draw_saliency("Saliency", subtitle, rows, columns)
