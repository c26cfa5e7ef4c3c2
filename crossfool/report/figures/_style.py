"""Style of all figures: colours, fonts, axes, headings, legends; and the saving of a figure.

Equal content gives equal bytes (`save`). Rates and errors are percent, and an interval is given by its ends.
"""

import functools
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from crossfool.storage.atomic import replacing

SMALL = 8  # points: numbers on the axes, and legends
ROUND = (1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 25, 30, 40, 50)  # ends of a percent axis that need not reach 100


@dataclass(frozen=True)
class Point:
    """A measured value `y` at `x`, with the ends of its interval."""

    x: float
    y: float
    low: float
    high: float


def sorted_arrays(points: Sequence[Point]) -> np.ndarray:
    """The points as arrays (4,N) of x, y, low and high, sorted by x."""
    return np.array(sorted((point.x, point.y, point.low, point.high) for point in points)).T


def level_ticks(axes: Axes, levels: Sequence[float], wide: float) -> None:
    """Set a tick for each level of the x axis, with a number unless it would touch the one before.

    Args:
        axes: With their limits and scale set.
        levels: The levels, rising.
        wide: Width of the axes in inches.
    """
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


def axis_end(highest: float, ends: Sequence[int] = ROUND) -> float:
    """The end of a percent axis that holds `highest`: the first of `ends`, or 100."""
    return next((float(end) for end in ends if end >= highest), 100.0)


def percent_axis(axes: Axes, top: float) -> None:
    """Make the y axis one of percents from 0 to `top`, with a little room at both ends."""
    axes.set_ylim(-0.025 * top, 1.025 * top)
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def fold_name(name: str, room: int) -> str:
    """A name broken over lines of at most `room` characters, after spaces and plus signs alone."""
    lines = [""]
    for piece in re.split(r"(?<=[+ ])", name):
        if lines[-1] and len(lines[-1] + piece.rstrip()) > room:
            lines.append("")
        lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)


def add_legend(
    figure: Figure, handles: Sequence[Any], names: Sequence[str], corner: tuple[float, float], **options: Any
) -> None:
    """Add a legend without a frame.

    Args:
        figure: The figure.
        handles, names: The legend's lines.
        corner: Its upper left corner, in parts of the figure's width and height.
        options: Further arguments of `Figure.legend`.
    """
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


STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same on every machine
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "crossfool",
}
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C564B")
MARKERS = "osD^vPX*"

# all of matplotlib's defaults, so that a user's matplotlibrc changes no byte of a report, and asks for no LaTeX
SETTINGS = {key: value for key, value in matplotlib.rcParamsDefault.items() if key != "backend"} | STYLE

P = ParamSpec("P")
R = TypeVar("R")


def report_style(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function so that it runs under the report's matplotlib settings alone."""

    @functools.wraps(function)
    def inner(*arguments: P.args, **options: P.kwargs) -> R:
        with matplotlib.rc_context(SETTINGS):
            return function(*arguments, **options)

    return inner


@report_style
def save(figure: Figure, path: Path) -> None:
    """Write a PNG or SVG, by the path's suffix."""
    FigureCanvasAgg(figure)
    kind = path.suffix[1:]
    metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    with replacing(path) as temporary:
        figure.savefig(temporary, format=kind, dpi=150, metadata=metadata, bbox_inches="tight", pad_inches=0.15)


def channels_last(pixels: np.ndarray) -> np.ndarray:
    """Pixels (C,H,W) with the channels last, as matplotlib expects them: (H,W) grey, or (H,W,3)."""
    return pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)


def show_image(axes: Axes, image: np.ndarray) -> None:
    """Draw an image, (H,W) or (H,W,3) with pixels 0..255, without axes or interpolation."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_axis_off()


def add_heading(
    figure: Figure, title: str, subtitle: str, left: float, right: float, bottom: float, width: float, height: float
) -> None:
    """Write a bold title, and the subtitle in wrapped lines below it.

    Args:
        figure: The figure.
        title, subtitle: Their texts; the subtitle may have several lines.
        left, right, bottom: Edges of the heading in inches; the lowest line is at `bottom`.
        width, height: Size of the figure in inches.
    """
    characters = max(36, int((right - left) / 0.072))
    unbroken = subtitle.replace(" = ", "\u00a0=\u00a0")  # no break within "ε = 15"
    lines = [part for line in unbroken.split("\n") for part in textwrap.wrap(line, characters)]
    for number, line in enumerate(reversed(lines)):
        figure.text(left / width, (bottom + 0.17 * number) / height, line, size=8.5, color="0.3", va="bottom")
    top = bottom + 0.17 * len(lines) + 0.05
    figure.text(left / width, top / height, title, size=12, weight="bold", va="bottom")
