"""Grids of attacks in params.yaml: an attack at each combination of values along several axes."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import ConfigDict, Field, model_validator

from crossfool.attacks import parts, selection
from crossfool.attacks.config import Attack
from crossfool.config import Axis, AxisStep, Count, Section, Seed
from crossfool.errors import small_steps_message

AxisName = Literal["epsilon", "steps", "step_size", "samples", "sigma"]
AXES: tuple[str, ...] = get_args(AxisName)


class GridAttack(Section):
    """The keys of `Attack` that all cells of a grid share, those of parts among them; the axes give the others."""

    model_config = ConfigDict(extra="allow")

    update: str = parts.DEFAULTS["update"]
    objective: Literal["untargeted", "targeted"] = "untargeted"
    fusion: Literal["probabilities", "logits", "losses"] = "probabilities"
    loss: str | None = None
    seed: Seed | None = None

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, values: Any) -> Any:
        """Refuse unknown names and keys; whether the parts use the keys is seen where cells are made."""
        if isinstance(values, Mapping):
            for kind in ("update", "loss"):  # first: keys of the user's own parts are known once these are loaded
                if values.get(kind) is not None:
                    parts.load(kind, values[kind])
            selection.refuse_unknown({key: value for key, value in values.items() if key not in cls.model_fields}, AXES)
        return values

    @classmethod
    def key_names(cls) -> tuple[str, ...]:
        return (*cls.model_fields, *(key for key in parts.key_names() if key not in AXES))


class GridFigure(Section):
    """The figure of a grid.

    Attributes:
        x: The axis along the abscissa.
        lines: The axis with a line for each of its values; null draws a single line.
        metric: The success rate drawn.
        average: Draw a plot a target, of the mean over sources without that target; else a plot a black-box pair.
    """

    x: AxisName
    lines: AxisName | None = None
    metric: Literal["top1", "top5"] = "top1"
    average: bool = False


class Grid(Section):
    """A sweep: every combination of the axes' values is a cell, from every source.

    Attributes:
        attack: The keys that the cells share; null for a grid that is not used, whose axes are empty.
        epsilon, steps, sigma: Values, as in `Attack`.
        step_size: Values, as in `Attack`; `epsilon` stands for each cell's epsilon.
        samples: Values of m; 0 is the plain gradient.
        figure: The grid's figure; null for a grid that is not used.
    """

    attack: GridAttack | None
    epsilon: tuple[Axis, ...]
    steps: tuple[Count, ...]
    step_size: tuple[Literal["epsilon"] | AxisStep, ...]
    samples: tuple[Annotated[int, Field(ge=0)], ...]
    sigma: tuple[Axis, ...]
    figure: GridFigure | None = None

    @model_validator(mode="after")
    def _check_grid(self) -> "Grid":
        """Refuse a grid that is used in part, has a value twice, or has axes that its figure cannot draw."""
        if self.attack is None and self.figure is None and not any(getattr(self, axis) for axis in AXES):
            return self
        for key in ("attack", "figure", *AXES):
            if getattr(self, key) in (None, ()):
                raise ValueError(f"{key} is {'empty' if key in AXES else 'null'}, but the grid is used")
        for axis in AXES:
            values = getattr(self, axis)
            if len(set(values)) < len(values):
                raise ValueError(f"{axis}: a value stands twice")
        for epsilon, steps, step_size, _, _ in self.points():
            if message := small_steps_message(epsilon, steps, epsilon if step_size == "epsilon" else step_size):
                raise ValueError(message)
        if 0 in self.samples and len(self.sigma) > 1:
            raise ValueError("samples: 0 is the plain gradient, the same for every sigma; take it in the other grid")
        assert self.figure is not None
        if self.figure.x == self.figure.lines:
            raise ValueError(f"figure: x and lines are both {self.figure.x}")
        for axis in AXES:
            if len(getattr(self, axis)) > 1 and axis not in (self.figure.x, self.figure.lines):
                raise ValueError(f"figure: draws x and lines, and {axis} has several values too; take one of it")
        self.cells("")  # refuses keys that cells make no use of
        return self

    def points(self) -> Iterator[tuple[Any, ...]]:
        """The values of `AXES` at each cell, as params.yaml writes them, in the order of `cells`."""
        return itertools.product(*(getattr(self, axis) for axis in AXES))

    def cells(self, name: str) -> dict[str, Attack]:
        """The cells of the grid called `name`: attack's name, as in dvc.yaml -> row."""
        if self.attack is None:
            return {}
        shared = self.attack.model_dump(exclude_unset=True)
        rows = {}
        for epsilon, steps, step_size, samples, sigma in self.points():
            alpha = epsilon if step_size == "epsilon" else step_size
            row = shared | {"epsilon": float(epsilon), "steps": steps, "step_size": float(alpha)}
            if samples:
                row |= {"gradient": "smoothed", "samples": samples, "sigma": float(sigma)}
            elif not Attack(**{key: value for key, value in row.items() if key != "seed"}).draws_at_random:
                row.pop("seed", None)  # the plain gradient draws nothing
            rows[f"{name}_e{epsilon}_T{steps}_a{step_size}_m{samples}_s{sigma}"] = Attack(**row)
        return rows


class Grids(Section):
    """The two grids of an experiment, as the paper's figure 4 has (a) and (b)."""

    a: Grid
    b: Grid

    def cells(self) -> dict[str, Attack]:
        """The cells of both grids: attack's name, as in dvc.yaml -> row."""
        return {**self.a.cells("a"), **self.b.cells("b")}
