"""Resting update: a value whose gradient turns round rests for a step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossfool.attacks.part import UpdatePart
from crossfool.attacks.types import Direction, Update

if TYPE_CHECKING:
    from torch import Tensor


class Part(UpdatePart, whole_steps=True, cite="docs/contributing.md"):
    """Signs of the gradient where they are those of the step before, else no step.

    Summary: resting where the gradient turns round
    Formula:
        resting: rₜ = {gradient} where its sign is that of a step before, else 0; at t = 0 all of it
    """

    def update(self, step_size: float) -> Update:
        return resting


def resting() -> Direction:
    """The gradient where it has the sign that it had a step before, else 0; with fresh state for each attack."""
    last: Tensor | None = None

    def direction(gradient: Tensor) -> Tensor:
        nonlocal last
        sign = gradient.sign()
        kept = gradient if last is None else gradient * (sign == last)
        last = sign
        return kept

    return direction
