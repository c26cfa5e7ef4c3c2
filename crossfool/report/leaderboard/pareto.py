"""The Pareto front of success over gradient evaluations, and its drawing as coordinates of an SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from crossfool.report.leaderboard.experiment_rows import BoardRow

WIDTH, HEIGHT = 460, 280  # units of the drawing
LEFT, RIGHT, TOP, BOTTOM = 40, 448, 14, 238  # the axes' frame
NAME_WIDTH, NAME_HEIGHT = 75, 13  # room of a point's name
STEPS = (1, 2, 5)  # of a decade, where the axis of gradients has numbers


@dataclass(frozen=True)
class Mark:
    """A row as a point of the drawing.

    Attributes:
        row: The row.
        x, y, low, high: Its place, and the ends of its interval, in units of the drawing.
        on_front: Whether no row is as cheap and better, or as good and cheaper.
        name_x, name_y, anchor: Where its name stands: below the front's line, to the right of the point; at the frame's
            right end to the left of the point, above it if there is room.
    """

    row: BoardRow
    x: float
    y: float
    low: float
    high: float
    on_front: bool

    @property
    def anchor(self) -> str:
        return "end" if self.x + NAME_WIDTH > RIGHT else "start"

    @property
    def name_x(self) -> float:
        return round(self.x + (-5 if self.anchor == "end" else 5), 1)

    @property
    def name_y(self) -> float:
        above = self.anchor == "end" and self.y - TOP > NAME_HEIGHT
        return round(self.y + (-6 if above else NAME_HEIGHT), 1)


@dataclass(frozen=True)
class Drawing:
    """Points, and ticks of both axes as place and text.

    Attributes:
        marks: Points, those of the front last.
        gradients, percents: Ticks of the axes.
    """

    marks: Sequence[Mark]
    gradients: Sequence[tuple[float, str]]
    percents: Sequence[tuple[float, str]]

    @property
    def front(self) -> list[Mark]:
        """The front's points, the cheapest first."""
        return [mark for mark in self.marks if mark.on_front]


def pareto_front(rows: Sequence[BoardRow]) -> list[BoardRow]:
    """Rows than which none is better at the same cost or less, the cheapest first; of equals the first alone."""
    front = list[BoardRow]()
    for row in sorted(rows, key=lambda row: (row.gradients, -row.success)):
        if not front or row.success > front[-1].success:
            front.append(row)
    return front


def draw(rows: Sequence[BoardRow]) -> Drawing:
    """Place rows (at least one) in a frame: gradients on a logarithmic axis, success in percent on a linear one."""
    costs = [row.gradients for row in rows]
    start, end = math.log10(min(costs) / 1.4), math.log10(max(costs) * 1.4)
    bottom = max(0, math.floor(min(row.success for row in rows) / 5) * 5 - 5)
    top = min(100, math.ceil(max(row.success for row in rows) / 5) * 5 + 5)

    def across(gradients: float) -> float:
        return round(LEFT + (math.log10(gradients) - start) / (end - start) * (RIGHT - LEFT), 1)

    def up(percent: float) -> float:
        held = min(max(percent, bottom), top)  # an interval may leave the frame
        return round(BOTTOM - (held - bottom) / (top - bottom) * (BOTTOM - TOP), 1)

    front = pareto_front(rows)
    marks = [
        Mark(row, across(row.gradients), up(row.success), up(row.low), up(row.high), on_front)
        for on_front in (False, True)
        for row in (front if on_front else [row for row in rows if row not in front])
    ]
    decades = (step * 10**power for power in range(7) for step in STEPS)
    ticks = [(across(number), f"{number:,}") for number in decades if start <= math.log10(number) <= end]
    every = 5 if top - bottom <= 30 else 10 if top - bottom <= 60 else 20
    percents = [(up(percent), str(percent)) for percent in range(-(-bottom // every) * every, top + 1, every)]
    return Drawing(marks, ticks, percents)
