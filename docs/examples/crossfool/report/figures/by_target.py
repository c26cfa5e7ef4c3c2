"""Figure: how easily each target model is fooled by all attacks from the sources that do not hold it."""

from collections.abc import Iterator, Mapping

import numpy as np
from matplotlib.figure import Figure

from crossfool.experiment.descriptions import attacked_images_summary
from crossfool.report.figures._style import COLOURS, add_heading, percent_axis, report_style
from crossfool.report.findings import Findings

FIGURE = {"title": "Success rates by target", "order": 25}


def figures(findings: Findings) -> Iterator[tuple[str, Figure]]:
    """A figure of the targets that have a black-box cell."""
    rates: dict[str, list[float]] = {}
    for by_target in findings.results.success.values():
        for target, cell in by_target.items():
            if not cell["whitebox"]:
                rates.setdefault(target, []).append(cell["top1"])
    if rates:
        subtitle = f"Mean over black-box cells; {attacked_images_summary(findings.results)}"
        yield "by_target", draw_means(subtitle, {target: float(np.mean(cells)) for target, cells in rates.items()})


@report_style
def draw_means(subtitle: str, means: Mapping[str, float]) -> Figure:
    """Draw a bar for each target, as high as its mean success rate, percent."""
    width, height = 0.9 * len(means) + 1, 2.4  # inches
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.bar(list(means), list(means.values()), color=COLOURS[0], width=0.6)
    percent_axis(axes, 100)
    axes.set_ylabel("success rate, %")
    add_heading(figure, "Success by target", subtitle, -0.5, width, height + 0.1, width, height)
    return figure
