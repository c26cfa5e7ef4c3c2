"""Figure: saliency maps of gradients beside the image."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from crossfool.report.figures.style import SMALL, add_heading, fold_name, report_style, show_image


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
