"""Figure: success rate, top-1 error and size of source models, a colour an architecture (the paper's 1 and 8)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from crossfool.experiment.descriptions import attack_summary, attacked_images_summary
from crossfool.experiment.results.metrics import Results
from crossfool.report import figure_data
from crossfool.report.figures._label_placement import annotate
from crossfool.report.figures._style import (
    COLOURS,
    ROUND,
    SMALL,
    add_heading,
    add_legend,
    axis_end,
    level_ticks,
    percent_axis,
    report_style,
)
from crossfool.report.findings import Findings
from crossfool.report.table import Row

FIGURE = {"title": "Success rates over the source's error and size", "order": 70}
FAMILIES = {  # marker, colour and size; the first five as in the paper's figures 1 and 8
    "resnet": ("*", "#0072B2", 9.0),
    "densenet": ("s", "#D55E00", 5.0),
    "vgg": ("o", "#009E73", 5.5),
    "alexnet": ("^", "#000000", 6.0),
    "squeezenet": ("D", "#CC79A7", 5.0),
}
FURTHER = tuple(zip("vPXph<>d", COLOURS[4:6] + COLOURS[7:] + COLOURS[:4] + COLOURS[6:7], strict=True))


def figures(findings: Findings) -> Iterator[tuple[str, Figure]]:
    """A figure of the attacks that params.yaml lists under `scatter`."""
    if rows := figure_data.scatter_rows(findings.results):
        yield "scatter", _scatter(findings.results, rows)


@dataclass(frozen=True)
class Dot:
    """A source model against one target.

    Attributes:
        name: The model's; the part after the family's name is written at its dot.
        family: Gives the dot its marker and colour.
        error: Top-1 error, percent.
        parameters: The number of the model's parameters.
        rate, low, high: Success rate and the ends of its interval, percent.
    """

    name: str
    family: str
    error: float
    parameters: int
    rate: float
    low: float
    high: float


@report_style
def draw_scatter(title: str, subtitle: str, panels: Mapping[str, Sequence[Dot]]) -> Figure:
    """Draw success rate, top-1 error and capacity of source models: three plots for each attack and target.

    The plots of a row: parameters against error with the rates written at the dots, as in the paper; rate against
    error, with the rest of each model's name after its family's; rate against parameters (log axis).

    Args:
        title, subtitle: The heading above the figure.
        panels: Row, such as "igsm → vgg19_bn" -> a dot a source.

    Raises:
        ValueError: no row has a dot.
    """
    dots = [dot for row in panels.values() for dot in row]
    if not dots:
        raise ValueError("nothing to draw: no row has a dot")
    wide, tall, gap_x, gap_y = (3.3, 2.9, 2.5), 2.9, 0.6, 0.78  # inches
    width, height = sum(wide) + 2 * gap_x, len(panels) * (tall + gap_y) - gap_y
    looks = _family_looks([dot.family for dot in dots])
    top = axis_end(max(max(dot.high, dot.rate) for dot in dots), (*ROUND, 60, 80))
    errors = _limits([dot.error for dot in dots], 0.06)
    millions = [dot.parameters / 1e6 for dot in dots]
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)  # measures the texts
    for number, (name, row) in enumerate(panels.items()):
        y = (height - tall - number * (tall + gap_y)) / height
        left, middle, right = (
            figure.add_axes(((sum(wide[:place]) + place * gap_x) / width, y, wide[place] / width, tall / height))
            for place in range(3)
        )
        left.set_title(name, loc="left", size=9, weight="bold")
        left.set_xlim(*errors)
        left.set_ylim(-0.04 * max(millions), 1.1 * max(millions))
        left.set_ylabel("parameters, millions")
        middle.set_xlim(*errors)
        right.set_xscale("log")
        right.set_xlim(min(millions) / 1.35, max(millions) * 1.35)
        level_ticks(right, _round_numbers(*right.get_xlim()), wide[2])
        right.set_xlabel("parameters, millions")
        for axes in (left, middle):
            axes.set_xlabel("top-1 error, %")
        for axes in (middle, right):
            percent_axis(axes, top)
            axes.set_ylabel("success rate, %")
        for axes in (left, middle, right):
            axes.tick_params(labelsize=SMALL)
            axes.grid(color="0.92")
            axes.set_axisbelow(True)
        _draw_dots(left, middle, right, row, looks)
    handles = [
        Line2D([], [], linestyle="", marker=marker, color=colour, markersize=size)
        for marker, colour, size in looks.values()
    ]
    add_legend(figure, handles, list(looks), (0, -0.55 / height), ncol=min(len(looks), 8), columnspacing=1.5)
    add_heading(figure, title, subtitle, -0.5, width, height + 0.35, width, height)
    return figure


def _family_looks(names: Sequence[str]) -> dict[str, tuple[str, str, float]]:
    """Marker, colour and size of each family: the paper's families first, then others in the order of their names."""
    families = set(names)
    looks = {name: look for name, look in FAMILIES.items() if name in families}
    for number, name in enumerate(sorted(families - set(FAMILIES))):
        looks[name] = (*FURTHER[number % len(FURTHER)], 5.5)
    return looks


def _limits(values: Sequence[float], part: float) -> tuple[float, float]:
    """The least and the greatest value, moved apart by that part of their distance."""
    low, high = min(values), max(values)
    room = part * ((high - low) or 1)
    return low - room, high + room


def _round_numbers(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten, from `low` to `high`."""
    return [
        step * 10.0**power for power in range(-4, 7) for step in (1, 2, 5) if low <= step * 10.0**power * 1.0001 <= high
    ]


def _draw_dots(left: Axes, middle: Axes, right: Axes, row: Sequence[Dot], looks: Mapping[str, Any]) -> None:
    """Draw the dots of a row in its three plots, and write the texts beside them."""
    for dot in row:
        marker, colour, size = looks[dot.family]
        look = {"marker": marker, "color": colour, "markersize": size, "linestyle": "", "mec": "white", "mew": 0.4}
        bars: dict[str, Any] = {"fmt": "none", "ecolor": colour, "elinewidth": 0.8, "capsize": 1.5, "capthick": 0.8}
        error = np.clip([[dot.rate - dot.low], [dot.high - dot.rate]], 0, None)
        left.plot(dot.error, dot.parameters / 1e6, **look)
        for axes, x in ((middle, dot.error), (right, dot.parameters / 1e6)):
            axes.errorbar(x, dot.rate, yerr=error, **bars)
            axes.plot(x, dot.rate, **look)
    places = np.array([(dot.error, dot.parameters / 1e6) for dot in row]).reshape(-1, 2)
    annotate(left, [f"{dot.rate:.1f}" for dot in row], places, places, places, 7)
    places, low, high = (
        np.array([(dot.error, getattr(dot, end)) for dot in row]).reshape(-1, 2) for end in ("rate", "low", "high")
    )
    annotate(middle, [_name_within_family(dot) for dot in row], places, low, high, 6)


def _name_within_family(dot: Dot) -> str:
    """The part of a model's name after its family's: "11_bn" of vgg11_bn, "" of alexnet, all of any other name."""
    return dot.name.removeprefix(dot.family).strip("_")


def _scatter(results: Results, rows: Sequence[Row]) -> Figure:
    """The scatter plots, from all rows of `figure_data.scatter_rows`."""
    panels: dict[str, list[Dot]] = {}
    for row in rows:
        dot = Dot(*(row[key] for key in ("source", "family", "error", "parameters", "rate", "low", "high")))
        panels.setdefault(f"{row['attack']} → {row['target']}", []).append(dot)
    experiment = results.experiment
    omitted = "" if experiment.scatter.same_family else "; sources of the target's own family are left out"
    attacks = "; ".join(f"{name}: {attack_summary(experiment.attacks[name])}" for name in experiment.scatter.attacks)
    subtitle = (
        f"{attacks}.\nNumbers at the left are success rates, texts in the middle the model within its family{omitted}. "
        f"Top-1 error on the whole data set. {attacked_images_summary(results)}; Wilson 95% intervals"
    )
    return draw_scatter("Success over the source's error and size", subtitle, panels)
