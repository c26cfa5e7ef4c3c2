"""Plots of success rates over a setting of an attack, such as epsilon, or over cost."""

from collections.abc import Collection, Mapping, Sequence
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
ASIDE, ASIDE_OF_KINDS = 0.007, 0.015  # of the x axis, by which a line stands right of the one before
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
    narrow: bool = False,
) -> Figure:
    """Draw success rates against a setting: a plot a pair of models, a line a value of a second setting.

    The lines are moved aside a little, so that their intervals do not hide one another. All plots have one y axis: 0
    to 100, or to a round number where every interval ends below 50.

    Args:
        title, subtitle: The heading above the figure.
        xlabel, ylabel: Labels of the axes, with units.
        line_label: The legend's heading; there is no legend for a single line.
        panels: Plot -> line -> points, rates in percent. The lines' order is the colours' order; a line named "plain"
            is black, dashed.
        logarithmic: Whether the x axis is logarithmic; all x are positive then.
        kinds: Whether the lines are of different kinds, not of rising values: colours that differ, then dashes.
        narrow: Whether the plots stand below one another, with the legend below them: for the screen of a phone.

    Raises:
        ValueError: no plot has a point.
    """
    points = [point for lines in panels.values() for line in lines.values() for point in line]
    if not points:
        raise ValueError("nothing to draw: no plot has a point")
    across = 1 if narrow else {1: 1, 2: 2, 4: 2}.get(len(panels), 3)
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
        _draw_lines(axes, lines, looks, wide, drawn, logarithmic, ASIDE_OF_KINDS if kinds else ASIDE)
        axes.set_title(name, loc="left", size=9, weight="bold")
        percent_axis(axes, top)
        axes.tick_params(labelsize=SMALL, labelleft=number % across == 0)
        if number + across >= len(panels):
            axes.set_xlabel(xlabel)
        if number % across == 0:
            axes.set_ylabel(ylabel)
    if len(looks) > 1:
        corner = (-0.5 / width, -0.5 / height) if narrow else (1 + 0.15 / width, 1)
        columns = 2 if narrow and max(map(len, looks)) < 20 else 1
        add_legend(figure, [drawn[name] for name in looks], list(looks), corner, title=line_label, ncols=columns)
    beside = len(looks) > 1 and not narrow
    side = 0.2 + 0.07 * max(len(name) for name in [line_label, *looks]) + 0.4 if beside else 0
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


def _offsets(
    levels_of: Mapping[str, Collection[float]], places: np.ndarray, most: float
) -> dict[str, dict[float, float]]:
    """Line -> level -> by how much the line's point stands right of the level, so that no two intervals are one.

    Args:
        levels_of: Line -> the levels at which it has a point.
        places: Where the levels are, rising, on the axis.
        most: The distance of neighbours at one level; it is less where they would come near another level.
    """
    offsets: dict[str, dict[float, float]] = {name: {} for name in levels_of}
    levels = sorted(set().union(*levels_of.values()))
    gaps = [np.inf, *np.diff(places), np.inf]
    for level, gap in zip(levels, map(min, gaps, gaps[1:]), strict=True):
        here = [name for name, at in levels_of.items() if level in at]
        step = min(most, 0.4 * gap / len(here), 0.2 * (places[-1] - places[0] or np.inf) / len(here))
        for place, name in enumerate(here):
            offsets[name][level] = step * (place - (len(here) - 1) / 2)
    return offsets


def _draw_lines(
    axes: Axes,
    lines: Mapping[str, Sequence[Point]],
    looks: Mapping[str, Any],
    wide: float,
    drawn: dict[str, Any],
    logarithmic: bool,
    aside: float,
) -> None:
    """Draw the lines of one plot, `wide` inches wide, and enter each line's handle for the legend in `drawn`.

    A line's point stands by the share `aside` of the axis right of the one before, where there is room.
    """
    levels = sorted({point.x for line in lines.values() for point in line})
    if not levels:
        return
    if logarithmic:
        axes.set_xscale("log")
    scaled, unscaled = (np.log, np.exp) if logarithmic else (np.asarray, np.asarray)
    places = scaled(levels)
    span = (places[-1] - places[0]) or max(abs(places[-1]), 1)
    offsets = _offsets(
        {name: {point.x for point in lines.get(name, ())} for name in looks}, scaled(levels), aside * span
    )
    margin = max(0.06 * span, *(abs(offset) + 0.02 * span for line in offsets.values() for offset in line.values()))
    for name, look in looks.items():
        if not lines.get(name):
            continue
        level, rate, low, high = sorted_arrays(lines[name])
        drawn[name] = axes.errorbar(
            unscaled(scaled(level) + [offsets[name][x] for x in level]),
            rate,
            yerr=np.clip([rate - low, high - rate], 0, None) if (low < high).any() else None,
            markersize=4,
            linewidth=1.2,
            elinewidth=0.7,
            capsize=1.5,
            capthick=0.7,
            **look,
        )
    axes.set_xlim(float(unscaled(places[0] - margin)), float(unscaled(places[-1] + margin)))
    level_ticks(axes, levels, wide)
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
