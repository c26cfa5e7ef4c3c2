"""Nesterov momentum: the gradient is taken where the momentum leads (NI, arXiv 1908.06281)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossfool.attacks.part import UpdatePart
from crossfool.attacks.types import Rule, Update
from crossfool.attacks.updates.momentum import momentum
from crossfool.config import NotNegative

if TYPE_CHECKING:
    from torch import Tensor


class Part(UpdatePart, whole_steps=True, cite="NI: Lin et al. 2020; arXiv 1908.06281"):
    """Momentum whose gradient is taken a step ahead, where the momentum leads (NI).

    Summary: Nesterov momentum μ = {decay:g}
    Rows:
        ni: Nesterov momentum: {epsilon: 16, steps: 20, step_size: 0.8, update: nesterov, decay: 1.0}
    Formula:
        look: yₜ = xₜ + {step_size:g} · {decay:g} · n gₜ, n the image's number of values
        momentum: gₜ₊₁ = {decay:g} · gₜ + {gradient} / ‖{gradient}‖₁, g₀ = 0 (equation 5)

    Attributes:
        decay: μ, of the momentum
    """

    decay: NotNegative

    def update(self, step_size: float) -> Update:
        return nesterov(self.decay, step_size)


def nesterov(decay: float, step_size: float) -> Update:
    """Momentum whose gradient is taken where the momentum leads: at x + step_size mu g (NI, arXiv 1908.06281).

    In the look-ahead, g sums gradients divided by the mean of their absolute values, as in the authors' code and in
    libraries. Divided by their L1 norm, as in the paper's equation, the look-ahead of an image of 150,528 values would
    be no step at all. Steps are the same with either.
    """

    def update() -> Rule:
        accumulate = momentum(decay)()
        accumulated: Tensor | None = None

        def direction(gradient: Tensor) -> Tensor:
            nonlocal accumulated
            accumulated = accumulate(gradient)
            return accumulated

        def look(x: Tensor) -> Tensor:
            return x if accumulated is None else x + step_size * decay * x[0].numel() * accumulated

        return Rule(direction, look)

    return update
