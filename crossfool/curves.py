"""The paper's plots of numbers, by matplotlib: sweeps of a setting, cosine similarities, capacity, agreement.

Equal content gives equal bytes (`figures.save`). Rates and errors are percent, and an interval is given by its ends.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from crossfool.figures import COLOURS, MARKERS, _heading, _styled

DASHES: tuple[Any, ...] = ("-", (0, (3, 1.2)), (0, (1, 1)), (0, (5, 1, 1, 1)))
PLAIN = "plain"  # the line without the setting that the other lines vary
SMALL = 8  # points: numbers on the axes, and legends
ROUND = (1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 25, 30, 40, 50)  # ends of a percent axis that need not reach 100
FAMILIES = {  # marker, colour and size; the first five as in the paper's figures 1 and 8
    "resnet": ("*", "#0072B2", 9.0),
    "densenet": ("s", "#D55E00", 5.0),
    "vgg": ("o", "#009E73", 5.5),
    "alexnet": ("^", "#000000", 6.0),
    "squeezenet": ("D", "#CC79A7", 5.0),
}
NEXT = tuple(zip("vPXph<>d", COLOURS[4:6] + COLOURS[7:] + COLOURS[:4] + COLOURS[6:7], strict=True))


@dataclass(frozen=True)
class Point:
    """A measured value `y` at `x`, with the ends of its interval."""

    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True)
class Dot:
    """A source model against one target.

    Attributes:
        name: Of the model; what follows the family's name is written at its dot.
        family: Gives the dot its marker and colour.
        error: Top-1 error, percent.
        parameters: How many the model has.
        rate, low, high: Success rate and the ends of its interval, percent.
    """

    name: str
    family: str
    error: float
    parameters: int
    rate: float
    low: float
    high: float


@_styled
def sweep(
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
    """Success rate against a setting: a plot a pair of models, a line a value of a second setting.

    The lines are moved aside by a hair, so that their intervals do not hide one another. All plots have one y axis: 0
    to 100, or to a round number where every interval ends below 50.

    Args:
        title, subtitle: Above all.
        xlabel, ylabel: Of the axes, with units.
        line_label: Heads the legend; there is no legend for a single line.
        panels: Plot -> line -> points. The lines' order is the colours' order; a line named "plain" is black, dashed.
        logarithmic: Whether the x axis is; all x are positive then.
        kinds: Whether the lines are of different kinds, not of rising values: colours that differ, then dashes.
    """
    points = [point for lines in panels.values() for line in lines.values() for point in line]
    if not points:
        raise ValueError("nothing to draw: no plot has a point")
    across = {1: 1, 2: 2, 4: 2}.get(len(panels), 3)
    down = -(-len(panels) // across)
    wide, tall, gap_x = {1: 3.3, 2: 2.75, 3: 2.3}[across], 2.2, 0.22  # inches
    names = [_folded(name, int(wide / 0.088)) for name in panels]
    gap_y = 0.48 + 0.16 * max(name.count("\n") + 1 for name in names)
    width, height = across * (wide + gap_x) - gap_x, down * (tall + gap_y) - gap_y
    shown = list(dict.fromkeys(name for lines in panels.values() for name, line in lines.items() if line))
    looks = _kinds(shown) if kinds else _looks(shown)
    top = _top(max(max(point.high, point.y) for point in points))
    figure = Figure(figsize=(width, height))
    drawn: dict[str, Any] = {}
    for number, (name, lines) in enumerate(zip(names, panels.values(), strict=True)):
        x = (number % across) * (wide + gap_x)
        y = height - tall - (number // across) * (tall + gap_y)
        axes = figure.add_axes((x / width, y / height, wide / width, tall / height))
        _lines(axes, lines, looks, wide, drawn, logarithmic)
        axes.set_title(name, loc="left", size=9, weight="bold")
        _percent(axes, top)
        axes.tick_params(labelsize=SMALL, labelleft=number % across == 0)
        if number + across >= len(panels):
            axes.set_xlabel(xlabel)
        if number % across == 0:
            axes.set_ylabel(ylabel)
    if len(looks) > 1:
        _legend(figure, [drawn[name] for name in looks], list(looks), (1 + 0.15 / width, 1), title=line_label)
    side = 0.2 + 0.07 * max(len(name) for name in [line_label, *looks]) + 0.4 if len(looks) > 1 else 0
    lines_above = max(name.count("\n") + 1 for name in names[:across])
    _heading(figure, title, subtitle, -0.5, width + min(side, 1.8), height + 0.18 + 0.16 * lines_above, width, height)
    return figure


def _looks(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """How each line is drawn: dark to light in their order, but for the plain one."""
    ordered = [name for name in names if name != PLAIN]
    colours = matplotlib.colormaps["plasma"](np.linspace(0.02, 0.8, len(ordered)) if len(ordered) > 1 else [0.3])
    looks: dict[str, dict[str, Any]] = {PLAIN: {"color": "black", "marker": "o", "mfc": "white", "linestyle": "--"}}
    for number, (name, colour) in enumerate(zip(ordered, colours, strict=True)):
        looks[name] = {"color": colour, "marker": MARKERS[number % len(MARKERS)]}
    return {name: looks[name] for name in names}


def _kinds(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """How each line is drawn: a colour and marker each, with other dashes where these have all been used."""
    looks = {}
    for number, name in enumerate(names):
        again, place = divmod(number, len(COLOURS))
        looks[name] = {"color": COLOURS[place], "marker": MARKERS[place], "linestyle": DASHES[again % len(DASHES)]}
    return looks


def _lines(
    axes: Axes,
    lines: Mapping[str, Sequence[Point]],
    looks: Mapping[str, Any],
    wide: float,
    drawn: dict[str, Any],
    logarithmic: bool,
) -> None:
    levels = sorted({point.x for line in lines.values() for point in line})
    if not levels:
        return
    if logarithmic:
        axes.set_xscale("log")
    there, back = (np.log, np.exp) if logarithmic else (np.asarray, np.asarray)
    places = there(levels)
    span = (places[-1] - places[0]) or max(abs(places[-1]), 1)
    step = min([0.007 * span, *(np.diff(places) * 0.4 / len(looks))])
    for place, (name, look) in enumerate(looks.items()):
        if not lines.get(name):
            continue
        level, rate, low, high = _arrays(lines[name])
        drawn[name] = axes.errorbar(
            back(there(level) + step * (place - (len(looks) - 1) / 2)),
            rate,
            yerr=np.clip([rate - low, high - rate], 0, None) if (low < high).any() else None,
            markersize=4,
            linewidth=1.2,
            elinewidth=0.7,
            capsize=1.5,
            capthick=0.7,
            **look,
        )
    axes.set_xlim(float(back(places[0] - 0.06 * span)), float(back(places[-1] + 0.06 * span)))
    _levels(axes, levels, wide)
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)


def _arrays(points: Sequence[Point]) -> np.ndarray:
    """(4,N): x, y, low and high, sorted by x."""
    return np.array(sorted((point.x, point.y, point.low, point.high) for point in points)).T


def _levels(axes: Axes, levels: Sequence[float], wide: float) -> None:
    """A tick for each level; a number too, unless it would touch the one before. `wide` inches is the axis."""
    start, end = axes.transData.transform([(axes.get_xlim()[0], 1), (axes.get_xlim()[1], 1)])[:, 0]
    places = axes.transData.transform([(level, 1) for level in levels])[:, 0]
    texts, free = [], -np.inf
    for place, level in zip((places - start) / (end - start) * wide, levels, strict=True):
        text = f"{level:g}"
        half = 0.045 * len(text)
        texts.append(text if place - half > free else "")
        free = place + half + 0.03 if texts[-1] else free
    axes.set_xticks(levels, texts)
    axes.xaxis.set_minor_locator(NullLocator())


def _top(highest: float, ends: Sequence[int] = ROUND) -> float:
    """The end of a percent axis that holds `highest`: the first of `ends`, or 100."""
    return next((float(end) for end in ends if end >= highest), 100.0)


def _percent(axes: Axes, top: float) -> None:
    axes.set_ylim(-0.025 * top, 1.025 * top)
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def _folded(name: str, room: int) -> str:
    """A name broken over lines of at most `room` characters, after spaces and plus signs alone."""
    lines = [""]
    for piece in re.split(r"(?<=[+ ])", name):
        if lines[-1] and len(lines[-1] + piece.rstrip()) > room:
            lines.append("")
        lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)


def _legend(
    figure: Figure, handles: Sequence[Any], names: Sequence[str], corner: tuple[float, float], **options: Any
) -> None:
    """A frameless legend with its upper left corner there, in parts of the figure."""
    legend = figure.legend(
        list(handles),
        list(names),
        loc="upper left",
        bbox_to_anchor=corner,
        frameon=False,
        borderaxespad=0,
        borderpad=0,
        fontsize=SMALL,
        title_fontsize=SMALL,
        alignment="left",
        **options,
    )
    legend.get_title().set_fontweight("bold")


@_styled
def similarity(title: str, subtitle: str, lines: Mapping[str, tuple[Point, Sequence[Point]]]) -> Figure:
    """Cosine similarity of the smoothed gradient with a target's, against the samples m (log axis), with bands.

    Args:
        title, subtitle: Above all.
        lines: Analysis, such as "resnet34 → vgg16" -> the plain gradient's cosine (its x is not read: a dashed line
            across), and the smoothed gradient's, x = m.
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
            m, cosine, low, high = _arrays(points)
            axes.fill_between(m, low, high, color=colour, alpha=0.25, linewidth=0)
            axes.plot(m, cosine, color=colour, marker=marker, markersize=4, linewidth=1.4)
        handles[name] = Line2D([], [], color=colour, marker=marker, markersize=4, linewidth=1.4)
    handles["dashed: the plain gradient"] = Line2D([], [], color="0.3", linestyle="--", linewidth=1.2)
    low, high = min(ends), max(ends)
    room = 0.06 * (high - min(low, 0) or 1)
    axes.set_ylim(low - room if low < 0 else 0, high + room)
    _levels(axes, samples, wide)
    axes.set_xlabel("samples m")
    axes.set_ylabel("cosine similarity")
    axes.tick_params(labelsize=SMALL)
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    columns = 2 if max(map(len, handles)) <= 22 else 1
    _legend(figure, list(handles.values()), list(handles), (0, -0.52 / tall), ncol=columns)
    _heading(figure, title, subtitle, -0.55, wide, tall + 0.12, wide, tall)
    return figure


@_styled
def scatter(title: str, subtitle: str, panels: Mapping[str, Sequence[Dot]]) -> Figure:
    """Success rate, top-1 error and capacity of source models: a row of three plots for each attack onto a target.

    The plots of a row: parameters against error with the rates written at the dots, as in the paper; rate against
    error, with the rest of each model's name after its family's; rate against parameters (log axis).

    Args:
        title, subtitle: Above all.
        panels: Row, such as "igsm → vgg19_bn" -> a dot a source.
    """
    dots = [dot for row in panels.values() for dot in row]
    if not dots:
        raise ValueError("nothing to draw: no row has a dot")
    wide, tall, gap_x, gap_y = (3.3, 2.9, 2.5), 2.9, 0.6, 0.78  # inches
    width, height = sum(wide) + 2 * gap_x, len(panels) * (tall + gap_y) - gap_y
    looks = _families([dot.family for dot in dots])
    top = _top(max(max(dot.high, dot.rate) for dot in dots), (*ROUND, 60, 80))
    errors = _around([dot.error for dot in dots], 0.06)
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
        _levels(right, _decades(*right.get_xlim()), wide[2])
        right.set_xlabel("parameters, millions")
        for axes in (left, middle):
            axes.set_xlabel("top-1 error, %")
        for axes in (middle, right):
            _percent(axes, top)
            axes.set_ylabel("success rate, %")
        for axes in (left, middle, right):
            axes.tick_params(labelsize=SMALL)
            axes.grid(color="0.92")
            axes.set_axisbelow(True)
        _dots(left, middle, right, row, looks)
    handles = [
        Line2D([], [], linestyle="", marker=marker, color=colour, markersize=size)
        for marker, colour, size in looks.values()
    ]
    _legend(figure, handles, list(looks), (0, -0.55 / height), ncol=min(len(looks), 8), columnspacing=1.5)
    _heading(figure, title, subtitle, -0.5, width, height + 0.35, width, height)
    return figure


def _families(names: Sequence[str]) -> dict[str, tuple[str, str, float]]:
    """Marker, colour and size of each family there is: the paper's, then others in the order of their names."""
    there = set(names)
    looks = {name: look for name, look in FAMILIES.items() if name in there}
    for number, name in enumerate(sorted(there - set(FAMILIES))):
        looks[name] = (*NEXT[number % len(NEXT)], 5.5)
    return looks


def _around(values: Sequence[float], part: float) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = part * ((high - low) or 1)
    return low - room, high + room


def _decades(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten between."""
    return [
        step * 10.0**power for power in range(-4, 7) for step in (1, 2, 5) if low <= step * 10.0**power * 1.0001 <= high
    ]


def _dots(left: Axes, middle: Axes, right: Axes, row: Sequence[Dot], looks: Mapping[str, Any]) -> None:
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
    _annotate(left, [f"{dot.rate:.1f}" for dot in row], places, places, places, 7)
    places, low, high = (
        np.array([(dot.error, value(dot)) for dot in row]).reshape(-1, 2)
        for value in (lambda dot: dot.rate, lambda dot: dot.low, lambda dot: dot.high)
    )
    _annotate(middle, [_rest(dot) for dot in row], places, low, high, 6)


def _rest(dot: Dot) -> str:
    """A model's name after its family's: "11_bn" of vgg11_bn; all of it where it does not begin so; "" of alexnet."""
    return dot.name.removeprefix(dot.family).strip("_")


def _annotate(
    axes: Axes, texts: Sequence[str], places: np.ndarray, low: np.ndarray, high: np.ndarray, size: float
) -> None:
    """Write a text near each place, clear of the other texts, markers and intervals.

    Each text, those in the thickest crowd first, takes the nearest free spot of rings around its marker; if there is
    no free one, the one that covers least. A thin line leads to a text that is far, or nearer to another marker.

    Args:
        axes: With their limits set.
        texts: One each; nothing is written for an empty one.
        places, low, high: (N,2) in data: the markers, and the ends of the intervals (places again for none).
        size: Points.
    """
    if not len(texts):
        return
    canvas = axes.figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    unit = axes.get_figure().dpi / 72  # type: ignore[union-attr]  # pixels in a point
    spot, foot, head = (axes.transData.transform(values) for values in (places, low, high))
    radius = 3.4 * unit
    markers = np.hstack([spot - radius, spot + radius])
    bars = np.hstack([np.minimum(foot, head) - unit, np.maximum(foot, head) + unit])
    frame = axes.get_window_extent().get_points()  # (2,2): the lower left and the upper right corner
    taken = np.vstack([markers, bars])
    angles = np.deg2rad([90, 270, 0, 180, 45, 135, 315, 225, 67.5, 112.5, 22.5, 157.5, 292.5, 247.5, 337.5, 202.5])
    rings = np.arange(3.5, 75, 1.5) * unit
    reach = np.repeat(rings, len(angles))
    way = np.tile(np.stack([np.cos(angles), np.sin(angles)], 1), (len(rings), 1))
    near = np.linalg.norm(spot[:, None] - spot, axis=2) < 30 * unit
    for index in sorted(range(len(texts)), key=lambda index: (-near[index].sum(), index)):
        if not texts[index]:
            continue
        text = axes.text(0, 0, texts[index], size=size, ha="center", va="center", color="0.15")
        box = text.get_window_extent(canvas.get_renderer())
        half = np.array([box.width, box.height]) / 2 + np.array([1.5, 0.7]) * unit
        middle = spot[index] + way * (reach[:, None] + half)
        boxes = np.hstack([middle - half, middle + half])
        outside = (boxes[:, :2] < frame[0] + unit).any(1) | (boxes[:, 2:] > frame[1]).any(1)
        covered = _covered(boxes, taken).sum(1)
        gaps = np.linalg.norm(spot - np.clip(spot, boxes[:, None, :2], boxes[:, None, 2:]), axis=2)  # (K,N)
        astray = gaps.min(1) < gaps[:, index]  # another marker is nearer
        cost = reach / unit + 4 * astray + 1e4 * outside + 1e3 * (covered > 0) + covered / unit**2
        others = np.vstack([np.delete(markers, index, 0), np.delete(bars, index, 0), taken[2 * len(texts) :]])
        choice: list[tuple[float, int, np.ndarray]] = []
        for at in np.argsort(cost, kind="stable")[:80]:
            end = np.clip(spot[index], boxes[at, :2], boxes[at, 2:])
            edge = min(1.0, radius / max(float(gaps[at, index]), 1e-9))
            along = spot[index] + (end - spot[index]) * np.linspace(edge, 1, 12)[:, None]  # (12,2): a leading line
            crossed = (_covered(np.hstack([along, along]), others) > 0).any(0).sum()
            choice.append((float(cost[at] + 10 * crossed), int(at), along))
        _, best, along = min(choice, key=lambda one: one[0])
        x, y = axes.transData.inverted().transform(middle[best])
        text.set_position((x, y))
        taken = np.vstack([taken, boxes[best]])
        if gaps[best, index] > 5.5 * unit or astray[best]:
            line = axes.transData.inverted().transform(along[[0, -1]])
            axes.plot(*line.T, color="0.4", linewidth=0.5, zorder=3)
            taken = np.vstack([taken, np.hstack([along - 0.5 * unit, along + 0.5 * unit])])


def _covered(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(K,B): the area that (K,4) and (B,4) boxes share, tiny where a side is 0; left, bottom, right, top."""
    low = np.maximum(boxes[:, None, :2], others[:, :2])
    high = np.minimum(boxes[:, None, 2:], others[:, 2:])
    return np.where((high >= low).all(2), np.prod(high - low, axis=2) + 1e-6, 0)


@_styled
def agreement(title: str, subtitle: str, points: Sequence[tuple[str, float, float, float, float]]) -> Figure:
    """Our rates against the paper's, with intervals and the diagonal on which they agree.

    Args:
        title, subtitle: Above all.
        points: The paper's table, the paper's rate, ours, and the ends of our interval; percent.
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
    axes.set_xlabel("success rate in the paper, %")
    axes.set_ylabel("success rate here, %")
    handles = [*drawn.values(), Line2D([], [], color="0.6", linewidth=0.9)]
    _legend(figure, handles, [*drawn, "equal"], (1 + 0.12 / side, 1))
    _heading(figure, title, subtitle, -0.5, side + 0.9, side + 0.12, side, side)
    return figure
