"""Figure: our success rates over those in the paper's tables, or those that a protocol reports."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from crossfool.experiment.descriptions import attacked_images_summary
from crossfool.report.figures._style import COLOURS, MARKERS, SMALL, add_heading, add_legend, report_style
from crossfool.report.findings import Findings
from crossfool.report.reported.protocol_rates import PAPER, reporter
from crossfool.report.reported.published_rates import table_text

FIGURE = {"title": "Our success rates against reported ones", "order": 40}


def figures(findings: Findings) -> Iterator[tuple[str, Figure]]:
    """A figure where at least two of the rates are reported."""
    if len(findings.agreement) > 1:
        points = [
            (table_text(row["paper_table"]), row["paper"], row["ours"], row["low"], row["high"])
            for row in findings.agreement
        ]
        images = attacked_images_summary(findings.results)
        subtitle = f"Success rates, a point a cell; {images}; Wilson 95% intervals"
        who = reporter(findings.experiment)
        yield "agreement", draw_agreement(f"Ours and {who}'s", subtitle, points, who)


@report_style
def draw_agreement(
    title: str, subtitle: str, points: Sequence[tuple[str, float, float, float, float]], who: str = PAPER
) -> Figure:
    """Draw our success rates against reported ones, with intervals and the diagonal of equal rates.

    Args:
        title, subtitle: The heading above the figure.
        points: The paper's table or the protocol, its rate, ours, and the ends of our interval; rates are percent.
        who: The paper, or the protocol.
    """
    side = 3.3  # inches
    figure = Figure(figsize=(side, side))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.plot([0, 100], [0, 100], color="0.6", linewidth=0.9, zorder=1)
    drawn: dict[str, Any] = {}
    tables = list(dict.fromkeys(point[0] for point in points))
    for number, table in enumerate(tables):
        paper, ours, low, high = np.array([point[1:] for point in points if point[0] == table]).T
        drawn[table] = axes.errorbar(
            paper,
            ours,
            yerr=np.clip([ours - low, high - ours], 0, None),
            color=COLOURS[number % len(COLOURS)],
            marker=MARKERS[number % len(MARKERS)],
            markersize=4.5,
            mec="white",
            mew=0.2,
            linestyle="",
            elinewidth=0.7,
            alpha=0.85,
        )
    axes.set_xlim(-2, 102)
    axes.set_ylim(-2, 102)
    axes.set_xticks(range(0, 101, 20))
    axes.set_yticks(range(0, 101, 20))
    axes.set_aspect("equal")
    axes.tick_params(labelsize=SMALL)
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    axes.set_xlabel(f"success rate in {who}, %")
    axes.set_ylabel("success rate here, %")
    handles = [*drawn.values(), Line2D([], [], color="0.6", linewidth=0.9)]
    add_legend(figure, handles, [*drawn, "equal"], (1 + 0.12 / side, 1))
    add_heading(figure, title, subtitle, -0.5, side + 0.9, side + 0.12, side, side)
    return figure
