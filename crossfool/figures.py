"""The report's pictures, by matplotlib: heat map, panel of images, destruction rates.

Equal content gives equal bytes: no dates, no versions, no random identifiers. Rates are percent.
"""

import functools
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from crossfool.storage.atomic import replacing

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same on every machine
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "crossfool",
}
RIGHT, WRONG = "#0072B2", "#C44500"  # blue and vermilion, told apart by the colour-blind; ✓ and ✗ say it too
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C564B")
MARKERS = "osD^vPX*"

# a matplotlibrc of the user's changes no byte of a report, and asks for no LaTeX
SETTINGS = {key: value for key, value in matplotlib.rcParamsDefault.items() if key != "backend"} | STYLE

P = ParamSpec("P")
R = TypeVar("R")


def _styled(function: Callable[P, R]) -> Callable[P, R]:
    @functools.wraps(function)
    def inner(*arguments: P.args, **options: P.kwargs) -> R:
        with matplotlib.rc_context(SETTINGS):
            return function(*arguments, **options)

    return inner


@_styled
def save(figure: Figure, path: Path) -> None:
    """Write a PNG or SVG, by the path's suffix."""
    FigureCanvasAgg(figure)
    kind = path.suffix[1:]
    metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    with replacing(path) as temporary:
        figure.savefig(temporary, format=kind, dpi=150, metadata=metadata, bbox_inches="tight", pad_inches=0.15)


def picture(pixels: np.ndarray) -> np.ndarray:
    """(C,H,W) as matplotlib wants it: (H,W) grey, or (H,W,3)."""
    return pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)


@dataclass(frozen=True)
class Grid:
    """Rates of one attack: a row a source, a column a target.

    Attributes:
        sources, targets: Names, broken over lines where they are long.
        rates: (S,T) arrays: the rate, and the ends of its interval.
        whitebox: (S,T) bool.
    """

    sources: Sequence[str]
    targets: Sequence[str]
    rates: tuple[np.ndarray, np.ndarray, np.ndarray]
    whitebox: np.ndarray


@_styled
def heatmap(grid: Grid, title: str, subtitle: str) -> Figure:
    """Success rates, colour and number, on a scale that is 0 to 100 in every picture."""
    rate, low, high = grid.rates
    longest = max(len(line) for name in grid.targets for line in name.split("\n"))
    wide, tall = (
        max(1.0, 0.08 * longest + 0.15),
        max(0.62, 1.2 / len(grid.sources), 0.16 * (_lines(grid.sources) + 1) + 0.1),
    )
    width, height = wide * len(grid.targets), tall * len(grid.sources)
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    colours = axes.imshow(rate, aspect="auto", cmap="cividis", vmin=0, vmax=100)
    for row, column in np.ndindex(rate.shape):
        red, green, blue, _ = colours.to_rgba(rate[row, column])
        ink = "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"
        star = "*" if grid.whitebox[row, column] else ""
        axes.text(column, row - 0.13, f"{rate[row, column]:.1f}{star}", color=ink, ha="center", va="center", size=11)
        interval = f"{low[row, column]:.1f} – {high[row, column]:.1f}"
        axes.text(column, row + 0.24, interval, color=ink, ha="center", va="center", size=6.5)
        if star:
            inset = Rectangle((column - 0.46, row - 0.44), 0.92, 0.88, fill=False, edgecolor=ink, linestyle="--")
            axes.add_patch(inset)
    axes.set_xticks(range(len(grid.targets)), grid.targets)
    axes.set_yticks(range(len(grid.sources)), grid.sources)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("target")
    axes.set_ylabel("source")
    axes.tick_params(length=0)
    axes.set_xticks(np.arange(len(grid.targets) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(grid.sources) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=2)
    axes.tick_params(which="minor", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    bar = figure.colorbar(colours, cax=figure.add_axes((1 + 0.15 / width, 0, 0.14 / width, 1)))
    bar.set_label("success rate, %")
    bar.set_ticks([0, 25, 50, 75, 100])
    left = -0.09 * max(len(line) for name in grid.sources for line in name.split("\n")) - 0.35  # inches: the labels
    _heading(figure, title, subtitle, left, width + 0.6, height + 0.62 + 0.14 * _lines(grid.targets), width, height)
    if grid.whitebox.any():
        note = "* in a frame: white-box, the source has the target in it"
        figure.text(left / width, -0.2 / height, note, size=7.5, color="0.3", va="top")
    return figure


def _lines(names: Sequence[str]) -> int:
    return max(name.count("\n") for name in names)


def _heading(
    figure: Figure, title: str, subtitle: str, left: float, right: float, bottom: float, width: float, height: float
) -> None:
    """A bold title and wrapped lines below it, the lowest at `bottom`; inches, of a figure `width` by `height`."""
    room = max(36, int((right - left) / 0.072))
    whole = subtitle.replace(" = ", "\u00a0=\u00a0")  # no break within "ε = 15"
    lines = [part for line in whole.split("\n") for part in textwrap.wrap(line, room)]
    for number, line in enumerate(reversed(lines)):
        figure.text(left / width, (bottom + 0.17 * number) / height, line, size=8.5, color="0.3", va="bottom")
    top = bottom + 0.17 * len(lines) + 0.05
    figure.text(left / width, top / height, title, size=12, weight="bold", va="bottom")


@dataclass(frozen=True)
class Shot:
    """One picture of the panel.

    Attributes:
        pixels: (H,W) or (H,W,3) uint8.
        answers: A target's answer to it each, and whether it is the true class; empty for a perturbation.
    """

    pixels: np.ndarray
    answers: Sequence[tuple[str, bool]] = ()


@_styled
def panel(
    title: str,
    subtitle: str,
    columns: Sequence[str],
    targets: Sequence[str],
    rows: Sequence[tuple[str, Sequence[Shot]]],
) -> Figure:
    """Images with the targets' answers under each.

    Args:
        title, subtitle: Above all.
        columns: A heading for each column.
        targets: Whose answers stand under the pictures, in order.
        rows: The true class and the pictures of each image.
    """
    side, gap, line, head = 1.6, 0.14, 0.16, 0.42  # inches
    left = 0.075 * max(len(name) for name in ["the true class", *targets, *(label for label, _ in rows)]) + 0.15
    tall = side + line * len(targets) + 0.22
    width, height = left + len(columns) * (side + gap), tall * len(rows) + head
    figure = Figure(figsize=(width, height))
    _heading(figure, title, subtitle, 0, width, height + 0.1, width, height)
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
            axes.imshow(shot.pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes.set_axis_off()
            for place, (answer, right) in enumerate(shot.answers):
                y = top - side - 0.06 - line * place
                text = f"{'✓' if right else '✗'} {textwrap.shorten(answer, 24, placeholder='…')}"
                figure.text(x / width, y / height, text, va="top", size=7, color=RIGHT if right else WRONG)
    return figure


Curve = Sequence[Sequence[float]]  # of each level: itself, rate, low, high, and what is not drawn


@_styled
def destruction(
    title: str, subtitle: str, units: Mapping[str, str], curves: Mapping[str, Mapping[str, Curve]]
) -> Figure:
    """Destruction rate against level: a plot a transform, a line an attack, with intervals.

    Args:
        title, subtitle: Above all.
        units: Transform -> what its levels are.
        curves: Transform -> attack -> points.
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
        _curves(axes, lines, drawn)
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
    _heading(figure, title, subtitle, -0.5, width + 1.5, height + 0.35, width, height)
    return figure


def _curves(axes: Axes, lines: Mapping[str, Curve], drawn: dict[str, Any]) -> None:
    levels = sorted({point[0] for points in lines.values() for point in points})
    span = (levels[-1] - levels[0]) or max(abs(levels[-1]), 1) if levels else 1
    for number, (attack, points) in enumerate(lines.items()):
        if not points:
            continue
        level, rate, low, high = np.array(sorted(tuple(point[:4]) for point in points)).T
        aside = 0.009 * span * (number - (len(lines) - 1) / 2)  # so that intervals do not hide one another
        drawn[attack] = axes.errorbar(
            level + aside,
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
