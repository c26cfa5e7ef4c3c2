"""Figure: saliency maps of gradients beside the image (as in the paper's 6)."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from crossfool.datasets.preparation.class_names import class_names
from crossfool.experiment.config import Experiment
from crossfool.experiment.results.gradient_variation import saliency_path
from crossfool.pipeline.gradient_analysis.config import Saliency
from crossfool.report.figures._style import SMALL, add_heading, channels_last, fold_name, report_style, show_image
from crossfool.report.findings import Findings
from crossfool.storage.tensors import TensorFile

FIGURE = {"title": "Gradients as pictures", "order": 100}


def figures(findings: Findings) -> Iterator[tuple[str, Figure]]:
    """A figure of each analysis that params.yaml lists under `saliency`."""
    for name, analysis in findings.experiment.saliency.items():
        yield f"saliency_{name}", _analysis(findings.folder, name, analysis, findings.experiment)


def saliency_map(gradient: np.ndarray) -> np.ndarray:
    """The saliency of each pixel, (H,W) from 0 to 1, by a (C,H,W) gradient.

    The channels' absolute values are added; then the lowest sum becomes 0 and the 99th percentile, and all above it,
    1 (Smilkov et al., 2017). A gradient that is the same everywhere gives 0.

    Raises:
        ValueError: the gradient has another number of dimensions, or numbers that are not finite.
    """
    if gradient.ndim != 3:
        raise ValueError(f"a gradient is (C,H,W), and not {gradient.shape}")
    total = np.abs(gradient.astype(np.float64)).sum(0)
    if not np.isfinite(total).all():
        raise ValueError("a gradient has numbers that are not finite")
    low, high = total.min(), np.percentile(total, 99)
    if high <= low:  # fewer than one pixel in a hundred differ from the rest
        scaled: np.ndarray = (total > low).astype(np.float64)
    else:
        scaled = np.clip((total - low) / (high - low), 0, 1)
    return scaled


@report_style
def draw_saliency(
    title: str,
    subtitle: str,
    rows: Sequence[tuple[str, np.ndarray, Sequence[np.ndarray]]],
    columns: Sequence[str],
) -> Figure:
    """Draw saliency maps of gradients: a row an image, with the image first.

    Args:
        title, subtitle: The heading above the figure.
        rows: For each image its label, (H,W,3) or (H,W) uint8 pixels, and (C,H,W) gradients: the plain one, then the
            smoothed ones in the order of their samples.
        columns: A heading for each column, the image's too.

    Raises:
        ValueError: a row has another number of gradients than there are columns for.
    """
    for name, _, gradients in rows:
        if len(gradients) + 1 != len(columns):
            raise ValueError(f"{len(columns)} columns, but {len(gradients)} gradients and the image for {name}")
    side, gap = 1.3, 0.08  # inches
    labels = [fold_name(name, 14) for name, _, _ in rows]
    start = 0.075 * max([len(line) for label in labels for line in label.split("\n")], default=0) + 0.12
    headings = [fold_name(heading, int(side / 0.085)) for heading in columns]
    head = 0.08 + 0.15 * max(heading.count("\n") + 1 for heading in headings)
    width, height = start + len(columns) * (side + gap) - gap, len(rows) * (side + gap) - gap + head
    figure = Figure(figsize=(width, height))
    for column, heading in enumerate(headings):
        x = start + column * (side + gap) + side / 2
        figure.text(x / width, 1 - (head - 0.05) / height, heading, ha="center", va="bottom", size=SMALL, weight="bold")
    for number, (label, (_, image, gradients)) in enumerate(zip(labels, rows, strict=True)):
        y = height - head - number * (side + gap) - side
        figure.text((start - 0.1) / width, (y + side / 2) / height, label, ha="right", va="center", size=SMALL)
        for column, pixels in enumerate([image, *(255 * saliency_map(gradient) for gradient in gradients)]):
            x = start + column * (side + gap)
            show_image(figure.add_axes((x / width, y / height, side / width, side / height)), pixels)
    add_heading(figure, title, subtitle, 0, width, height + 0.08, width, height)
    return figure


def _analysis(folder: Path, name: str, analysis: Saliency, experiment: Experiment) -> Figure:
    """The figure of one analysis of saliency.

    Args:
        folder: The experiment's.
        name: The analysis.
        analysis: Its parameters.
        experiment: The experiment, for its data set's class names.
    """
    file = TensorFile(saliency_path(folder, name))
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
    return draw_saliency("Saliency", subtitle, rows, columns)
