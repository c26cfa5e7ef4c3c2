"""Momentum of normalised gradients (mIGSM, paper equation 5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from crossfool.attacks.part import UpdatePart
from crossfool.attacks.types import Direction, Update
from crossfool.config import NotNegative

if TYPE_CHECKING:
    from torch import Tensor


class Part(UpdatePart, paper=True, whole_steps=True, cite="equation 5; arXiv 1710.06081"):
    """Sum of the gradients so far, each divided by its L1 norm and decayed at each step (mIGSM).

    Summary: momentum μ = {decay:g}
    Rows:
        migsm: momentum: {epsilon: 15, steps: 5, step_size: 5, update: momentum, decay: 1.0}
        sg_migsm: smoothed gradient with momentum: {epsilon: 15, steps: 5, step_size: 5, gradient: smoothed,
            samples: 20, sigma: 15, update: momentum, decay: 1.0}
    Formula:
        momentum: gₜ₊₁ = {decay:g} · gₜ + {gradient} / ‖{gradient}‖₁, g₀ = 0 (equation 5)

    Attributes:
        decay: μ, of the momentum
    """

    decay: NotNegative

    def update(self, step_size: float) -> Update:
        return momentum(self.decay)


def momentum(decay: float) -> Callable[[], Direction]:
    """g <- mu g + gradient / ||gradient||_1, an image at a time, before any sign (mIGSM, paper equation 5).

    A gradient of zeros adds nothing.
    """

    import torch

    def update() -> Direction:
        accumulated: Tensor | None = None

        def direction(gradient: Tensor) -> Tensor:
            nonlocal accumulated
            norm = gradient.abs().flatten(1).sum(1).clamp_(min=torch.finfo(gradient.dtype).tiny)
            step = gradient / norm.view(-1, *[1] * (gradient.ndim - 1))
            accumulated = step if accumulated is None else accumulated.mul_(decay).add_(step)
            return accumulated

        return direction

    return update
