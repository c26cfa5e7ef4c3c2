"""Plots of success rates over a setting of an attack, such as epsilon, or over cost."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crossfool.report.figures._style import (
    COLOURS,
    MARKERS,
    SMALL,
    Point,
    add_heading,
    add_legend,
    axis_end,
    fold_name,
    level_ticks,
    percent_axis,
    report_style,
    sorted_arrays,
)

DASHES: tuple[Any, ...] = ("-", (0, (3, 1.2)), (0, (1, 1)), (0, (5, 1, 1, 1)))
PLAIN = "plain"  # the line without the setting that the other lines vary


@report_style
def draw_sweep(
    title: str,
    subtitle: str,
    xlabel: str,
    ylabel: str,
    line_label: str,
    panels: Mapping[str, Mapping[str, Sequence[Point]]],
    *,
    logarithmic: bool = False,
    kinds: bool = False,
) -> Figure:
    """Draw success rates against a setting: a plot a pair of models, a line a value of a second setting.

    The lines are moved aside by a hair, so that their intervals do not hide one another. All plots have one y axis: 0
    to 100, or to a round number where every interval ends below 50.

    Args:
        title, subtitle: The heading above the figure.
        xlabel, ylabel: Labels of the axes, with units.
        line_label: The legend's heading; there is no legend for a single line.
        panels: Plot -> line -> points, rates in percent. The lines' order is the colours' order; a line named "plain"
            is black, dashed.
        logarithmic: Whether the x axis is logarithmic; all x are positive then.
        kinds: Whether the lines are of different kinds, not of rising values: colours that differ, then dashes.

    Raises:
        ValueError: no plot has a point.
    """
    points = [point for lines in panels.values() for line in lines.values() for point in line]
    if not points:
        raise ValueError("nothing to draw: no plot has a point")
    across = {1: 1, 2: 2, 4: 2}.get(len(panels), 3)
    down = -(-len(panels) // across)
    wide, tall, gap_x = {1: 3.3, 2: 2.75, 3: 2.3}[across], 2.2, 0.22  # inches
    names = [fold_name(name, int(wide / 0.088)) for name in panels]
    gap_y = 0.48 + 0.16 * max(name.count("\n") + 1 for name in names)
    width, height = across * (wide + gap_x) - gap_x, down * (tall + gap_y) - gap_y
    line_names = list(dict.fromkeys(name for lines in panels.values() for name, line in lines.items() if line))
    looks = _looks_of_kinds(line_names) if kinds else _looks_of_values(line_names)
    top = axis_end(max(max(point.high, point.y) for point in points))
    figure = Figure(figsize=(width, height))
    drawn: dict[str, Any] = {}
    for number, (name, lines) in enumerate(zip(names, panels.values(), strict=True)):
        x = (number % across) * (wide + gap_x)
        y = height - tall - (number // across) * (tall + gap_y)
        axes = figure.add_axes((x / width, y / height, wide / width, tall / height))
        _draw_lines(axes, lines, looks, wide, drawn, logarithmic)
        axes.set_title(name, loc="left", size=9, weight="bold")
        percent_axis(axes, top)
        axes.tick_params(labelsize=SMALL, labelleft=number % across == 0)
        if number + across >= len(panels):
            axes.set_xlabel(xlabel)
        if number % across == 0:
            axes.set_ylabel(ylabel)
    if len(looks) > 1:
        add_legend(figure, [drawn[name] for name in looks], list(looks), (1 + 0.15 / width, 1), title=line_label)
    side = 0.2 + 0.07 * max(len(name) for name in [line_label, *looks]) + 0.4 if len(looks) > 1 else 0
    lines_above = max(name.count("\n") + 1 for name in names[:across])
    add_heading(
        figure, title, subtitle, -0.5, width + min(side, 1.8), height + 0.18 + 0.16 * lines_above, width, height
    )
    return figure


def _looks_of_values(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Colour and marker of each line of rising values: dark to light in their order, but for the plain one."""
    ordered = [name for name in names if name != PLAIN]
    colours = matplotlib.colormaps["plasma"](np.linspace(0.02, 0.8, len(ordered)) if len(ordered) > 1 else [0.3])
    looks: dict[str, dict[str, Any]] = {PLAIN: {"color": "black", "marker": "o", "mfc": "white", "linestyle": "--"}}
    for number, (name, colour) in enumerate(zip(ordered, colours, strict=True)):
        looks[name] = {"color": colour, "marker": MARKERS[number % len(MARKERS)]}
    return {name: looks[name] for name in names}


def _looks_of_kinds(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Colour, marker and dashes of each line of a kind; dashes change once all colours have been used."""
    looks = {}
    for number, name in enumerate(names):
        repetition, place = divmod(number, len(COLOURS))
        looks[name] = {"color": COLOURS[place], "marker": MARKERS[place], "linestyle": DASHES[repetition % len(DASHES)]}
    return looks


def _draw_lines(
    axes: Axes,
    lines: Mapping[str, Sequence[Point]],
    looks: Mapping[str, Any],
    wide: float,
    drawn: dict[str, Any],
    logarithmic: bool,
) -> None:
    """Draw the lines of one plot, `wide` inches wide, and enter each line's handle for the legend in `drawn`."""
    levels = sorted({point.x for line in lines.values() for point in line})
    if not levels:
        return
    if logarithmic:
        axes.set_xscale("log")
    scaled, unscaled = (np.log, np.exp) if logarithmic else (np.asarray, np.asarray)
    places = scaled(levels)
    span = (places[-1] - places[0]) or max(abs(places[-1]), 1)
    step = min([0.007 * span, *(np.diff(places) * 0.4 / len(looks))])
    for place, (name, look) in enumerate(looks.items()):
        if not lines.get(name):
            continue
        level, rate, low, high = sorted_arrays(lines[name])
        drawn[name] = axes.errorbar(
            unscaled(scaled(level) + step * (place - (len(looks) - 1) / 2)),
            rate,
            yerr=np.clip([rate - low, high - rate], 0, None) if (low < high).any() else None,
            markersize=4,
            linewidth=1.2,
            elinewidth=0.7,
            capsize=1.5,
            capthick=0.7,
            **look,
        )
    axes.set_xlim(float(unscaled(places[0] - 0.06 * span)), float(unscaled(places[-1] + 0.06 * span)))
    level_ticks(axes, levels, wide)
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
