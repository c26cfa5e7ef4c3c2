"""Grids of attacks in params.yaml: one attack at each combination of values along one or two axes."""

import itertools
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    model_validator,
)

from crossfool.attacks.config import Attack
from crossfool.config import Axis, AxisStep, Count, NotNegative, Section, Seed
from crossfool.errors import no_step


class GridAttack(Section):
    """What all cells of a grid share; the axes say the rest. See `Attack`."""

    update: Literal["sign", "momentum", "nesterov"] = "sign"
    decay: NotNegative | None = None
    objective: Literal["untargeted", "targeted"] = "untargeted"
    fusion: Literal["probabilities", "logits", "losses"] = "probabilities"
    seed: Seed | None = None


class GridFigure(Section):
    """How a grid is drawn.

    Attributes:
        x: The axis that runs along the abscissa.
        lines: The axis with a line for each of its values; none where null.
        metric: The success rate drawn.
        average: One plot a target, of the mean over sources that do not hold it; else one plot a black-box pair.
    """

    x: Literal["epsilon", "steps", "step_size", "samples", "sigma"]
    lines: Literal["epsilon", "steps", "step_size", "samples", "sigma"] | None = None
    metric: Literal["top1", "top5"] = "top1"
    average: bool = False


AXES = ("epsilon", "steps", "step_size", "samples", "sigma")


class Grid(Section):
    """A sweep: every combination of the axes' values is a cell, from every source.

    Attributes:
        attack: What the cells share; null for a grid that is not used, whose axes are empty.
        epsilon, steps, sigma: Values, as in `Attack`.
        step_size: Likewise; the word `epsilon` takes each cell's epsilon.
        samples: m; 0 is the plain gradient.
        figure: How it is drawn.
    """

    attack: GridAttack | None
    epsilon: tuple[Axis, ...]
    steps: tuple[Count, ...]
    step_size: tuple[Literal["epsilon"] | AxisStep, ...]
    samples: tuple[Annotated[int, Field(ge=0)], ...]
    sigma: tuple[Axis, ...]
    figure: GridFigure | None = None

    @model_validator(mode="after")
    def _whole(self) -> "Grid":
        filled = [axis for axis in AXES if getattr(self, axis)]
        if self.attack is None and self.figure is None and not filled:
            return self
        for what in ("attack", "figure", *AXES):
            if getattr(self, what) in (None, ()):
                raise ValueError(
                    f"{what} is {'null' if what in ('attack', 'figure') else 'empty'}, but the grid is used"
                )
        for axis in AXES:
            values = getattr(self, axis)
            if len(set(values)) < len(values):
                raise ValueError(f"{axis}: a value stands twice")
        for epsilon, steps, step_size, _, _ in self.points():
            if said := no_step(epsilon, steps, epsilon if step_size == "epsilon" else step_size):
                raise ValueError(said)
        if 0 in self.samples and len(self.sigma) > 1:
            raise ValueError("samples: 0 is the plain gradient, the same for every sigma; take it in the other grid")
        assert self.figure is not None
        if self.figure.x == self.figure.lines:
            raise ValueError(f"figure: x and lines are both {self.figure.x}")
        for axis in AXES:
            if len(getattr(self, axis)) > 1 and axis not in (self.figure.x, self.figure.lines):
                raise ValueError(f"figure: draws x and lines, and {axis} has several values too; take one of it")
        return self

    def points(self) -> Iterator[tuple[Any, ...]]:
        """Values of `AXES` for each cell, as they are written, in the order of `cells`."""
        return itertools.product(*(getattr(self, axis) for axis in AXES))

    def cells(self, name: str) -> "dict[str, Attack]":
        """The cells of the grid called `name`: attack -> its row, each named as dvc.yaml names it."""
        if self.attack is None:
            return {}
        shared = self.attack.model_dump(exclude_unset=True)
        rows = {}
        for epsilon, steps, step_size, samples, sigma in self.points():
            row = {"epsilon": float(epsilon), "steps": steps}
            row["step_size"] = float(epsilon if step_size == "epsilon" else step_size)
            own = dict(shared)
            if samples:
                row |= {"gradient": "smoothed", "samples": samples, "sigma": float(sigma)}
            else:
                own.pop("seed", None)
            rows[f"{name}_e{epsilon}_T{steps}_a{step_size}_m{samples}_s{sigma}"] = Attack(**own, **row)
        return rows


class Grids(Section):
    """Two grids an experiment, as the paper's figure 4 has (a) and (b)."""

    a: Grid
    b: Grid

    def cells(self) -> "dict[str, Attack]":
        return {**self.a.cells("a"), **self.b.cells("b")}
