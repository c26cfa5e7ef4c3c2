"""Figure: cosine similarity of gradients over the number of samples (the paper's 3a)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from crossfool.experiment.config import Experiment
from crossfool.report import figure_data
from crossfool.report.figures._style import (
    COLOURS,
    MARKERS,
    SMALL,
    Point,
    add_heading,
    add_legend,
    level_ticks,
    report_style,
    sorted_arrays,
)
from crossfool.report.findings import Findings
from crossfool.report.table import Row

FIGURE = {"title": "Similarity of gradients", "order": 80}


def figures(findings: Findings) -> Iterator[tuple[str, Figure]]:
    """A figure of all analyses that params.yaml lists under `similarity`."""
    if rows := figure_data.similarity_rows(findings.evidence):
        yield "similarity", _similarity(findings.experiment, rows)


@report_style
def draw_similarity(title: str, subtitle: str, lines: Mapping[str, tuple[Point, Sequence[Point]]]) -> Figure:
    """Draw the cosine similarity of smoothed gradients with a target's over the samples m (log axis), with bands.

    Args:
        title, subtitle: The heading above the figure.
        lines: Analysis, such as "resnet34 → vgg16" -> the plain gradient's cosine (its x is not read: a dashed line
            across), and the smoothed gradient's, x = m.

    Raises:
        ValueError: there is no smoothed gradient, or an m that is not positive.
    """
    samples = sorted({point.x for _, points in lines.values() for point in points})
    if not samples or samples[0] <= 0:
        raise ValueError(f"the samples m must be positive numbers: {samples}")
    wide, tall = 3.3, 2.5  # inches
    figure = Figure(figsize=(wide, tall))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xscale("log")
    axes.set_xlim(samples[0] / 1.15, samples[-1] * 1.15)
    ends = []
    handles: dict[str, Any] = {}
    for number, (name, (plain, points)) in enumerate(lines.items()):
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        axes.axhspan(plain.low, plain.high, color=colour, alpha=0.16, linewidth=0)
        axes.axhline(plain.y, color=colour, linestyle="--", linewidth=1.2)
        ends += [plain.low, plain.high, *(end for point in points for end in (point.low, point.high))]
        if points:
            m, cosine, low, high = sorted_arrays(points)
            axes.fill_between(m, low, high, color=colour, alpha=0.25, linewidth=0)
            axes.plot(m, cosine, color=colour, marker=marker, markersize=4, linewidth=1.4)
        handles[name] = Line2D([], [], color=colour, marker=marker, markersize=4, linewidth=1.4)
    handles["dashed: the plain gradient"] = Line2D([], [], color="0.3", linestyle="--", linewidth=1.2)
    low, high = min(ends), max(ends)
    room = 0.06 * (high - min(low, 0) or 1)
    axes.set_ylim(low - room if low < 0 else 0, high + room)
    level_ticks(axes, samples, wide)
    axes.set_xlabel("samples m")
    axes.set_ylabel("cosine similarity")
    axes.tick_params(labelsize=SMALL)
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    columns = 2 if max(map(len, handles)) <= 22 else 1
    add_legend(figure, list(handles.values()), list(handles), (0, -0.52 / tall), ncol=columns)
    add_heading(figure, title, subtitle, -0.55, wide, tall + 0.12, wide, tall)
    return figure


def _similarity(experiment: Experiment, rows: Sequence[Row]) -> Figure:
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
    return draw_similarity("Similarity of gradients", subtitle, lines)
