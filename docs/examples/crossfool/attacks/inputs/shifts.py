"""Shifts: the mean gradient over images that are shifted sideways."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from crossfool.attacks.part import InputPart
from crossfool.attacks.types import Context, Views


class Part(InputPart, smoke={"shifts": 2}, cite="docs/contributing.md"):
    """Mean gradient over images shifted to the right by 0, 1, 2, ... pixels, around the edge.

    Summary: {shifts} shifts
    Evaluations: k
    Formula:
        shifts: ∇J(x) is the mean over i < {shifts} of those of J(x shifted by i pixels) by x

    Attributes:
        shifts: k, shifted images that the gradient is the mean of, the unshifted among them
    """

    shifts: Annotated[int, Field(ge=2)]

    @property
    def evaluations(self) -> int:
        return self.shifts

    def views(self, context: Context) -> Views:
        from crossfool.attacks.inputs._views import ImageViews

        return ImageViews(self.shifts, lambda x, i: x.roll(i, -1), lambda gradient, i: gradient.roll(-i, -1))
