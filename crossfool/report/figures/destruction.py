"""Figure: destruction rates over the level of a transform."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crossfool.experiment.descriptions import attacked_images_summary
from crossfool.pipeline.evaluation.transform_levels import find_transform
from crossfool.report.figures._style import COLOURS, MARKERS, add_heading, report_style
from crossfool.report.findings import Findings

FIGURE = {"title": "Destruction rates by transform and level", "order": 50}
Curve = Sequence[Sequence[float]]  # for each level: the level, rate, low, high; further values are not drawn


def figures(findings: Findings) -> Iterator[tuple[str, Figure]]:
    """A figure of all transforms after which an attack has destruction rates, over all black-box pairs."""
    pools = {transform: pool for transform, pool in findings.destruction.items() if any(pool.values())}
    if not pools:
        return
    units = {name: find_transform(name).unit for name in pools}
    subtitle = (
        "Of the adversarial images that fool a target, the share that it gets right again after the transform. "
        f"All black-box pairs together; {attacked_images_summary(findings.results)}; 95% intervals clustered by image."
    )
    yield "destruction", draw_destruction("Destruction rates", subtitle, units, pools)


@report_style
def draw_destruction(
    title: str, subtitle: str, units: Mapping[str, str], curves: Mapping[str, Mapping[str, Curve]]
) -> Figure:
    """Draw destruction rates against levels: a plot a transform, a line an attack, with intervals.

    Args:
        title, subtitle: The heading above the figure.
        units: Transform -> the label of its levels' axis.
        curves: Transform -> attack -> points; rates are percent.
    """
    across = min(2, len(curves))
    down = -(-len(curves) // across)
    wide, tall, gap_x, gap_y = 3.6, 2.4, 0.65, 0.85  # inches
    width, height = across * (wide + gap_x) - gap_x, down * (tall + gap_y) - gap_y
    figure = Figure(figsize=(width, height))
    drawn: dict[str, Any] = {}
    for number, (transform, lines) in enumerate(curves.items()):
        x = (number % across) * (wide + gap_x)
        y = height - tall - (number // across) * (tall + gap_y)
        axes = figure.add_axes((x / width, y / height, wide / width, tall / height))
        _draw_curves(axes, lines, drawn)
        axes.set_title(transform.replace("_", " "), loc="left", size=10, weight="bold")
        axes.set_xlabel(units[transform])
        if number % across == 0:
            axes.set_ylabel("destruction rate, %")
    figure.legend(
        list(drawn.values()),
        list(drawn),
        loc="upper left",
        bbox_to_anchor=(1 + 0.15 / width, 1),
        frameon=False,
        borderaxespad=0,
    )
    add_heading(figure, title, subtitle, -0.5, width + 1.5, height + 0.35, width, height)
    return figure


def _draw_curves(axes: Axes, lines: Mapping[str, Curve], drawn: dict[str, Any]) -> None:
    """Draw the curves of one transform, and enter each attack's handle for the legend in `drawn`."""
    levels = sorted({point[0] for points in lines.values() for point in points})
    span = (levels[-1] - levels[0]) or max(abs(levels[-1]), 1) if levels else 1
    for number, (attack, points) in enumerate(lines.items()):
        if not points:
            continue
        level, rate, low, high = np.array(sorted(tuple(point[:4]) for point in points)).T
        offset = 0.009 * span * (number - (len(lines) - 1) / 2)  # so that intervals do not hide one another
        drawn[attack] = axes.errorbar(
            level + offset,
            rate,
            yerr=np.clip([rate - low, high - rate], 0, None),
            color=COLOURS[number % len(COLOURS)],
            marker=MARKERS[number % len(MARKERS)],
            markersize=4.5,
            linewidth=1.4,
            elinewidth=0.7,
            capsize=1.5,
            capthick=0.7,
        )
    axes.set_ylim(-3, 103)
    axes.set_xticks(levels, [f"{level:g}" for level in levels])
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
