"""Figure: clean images, adversarial images and perturbations side by side, with predicted classes below them."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from crossfool.report.figures.style import add_heading, report_style, show_image

RIGHT, WRONG = "#0072B2", "#C44500"  # blue and vermilion, told apart by the colour-blind; ✓ and ✗ say it too


@dataclass(frozen=True)
class Shot:
    """One picture of the panel.

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
