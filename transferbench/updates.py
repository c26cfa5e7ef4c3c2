"""Update rules: what the attack loop takes the sign of. Each call makes one with fresh state."""

from collections.abc import Callable

import torch
from torch import Tensor

from transferbench.attack import Direction


def sign() -> Direction:
    """The gradient as it is (IGSM, paper equation 4)."""
    return lambda gradient: gradient


def momentum(decay: float) -> Callable[[], Direction]:
    """g <- mu g + gradient / ||gradient||_1, an image at a time, before any sign (mIGSM, paper equation 5).

    A gradient of zeros adds nothing.
    """

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
