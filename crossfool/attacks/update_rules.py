"""Update rules: what the attack loop takes the sign of. Each call makes one with fresh state."""

from collections.abc import Callable

import torch
from torch import Tensor

from crossfool.attacks.loop import Direction, Rule, Update, rule


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


def nesterov(decay: float, step_size: float) -> Update:
    """Momentum whose gradient is taken where the momentum leads: x + step_size mu g (NI, arXiv 1908.06281).

    There g is of gradients over the mean of their absolute values, as in its authors' code and in libraries: over
    the L1 norm, as its equation has it, the look-ahead of an image of 150,528 values would be no step at all. Steps
    are the same with either.
    """

    def update() -> Rule:
        accumulate = momentum(decay)()
        ahead: Tensor | None = None

        def direction(gradient: Tensor) -> Tensor:
            nonlocal ahead
            ahead = accumulate(gradient)
            return ahead

        def look(x: Tensor) -> Tensor:
            return x if ahead is None else x + step_size * decay * x[0].numel() * ahead

        return Rule(direction, look)

    return update


def settling(inner: Update, factor: float) -> Update:
    """An update whose steps shrink where its direction changes sign (GRA's decay indicator, Zhu et al. 2023).

    A value's step is multiplied by `factor` at each change of its direction's sign but the first, which is from 0.
    """

    def update() -> Rule:
        own = rule(inner())
        last: Tensor | None = None
        changes = torch.zeros(())

        def step(direction: Tensor) -> Tensor:
            nonlocal last, changes
            sign = direction.sign()
            changes = changes.to(sign) + (sign != (torch.zeros_like(sign) if last is None else last))
            last = sign
            return factor ** (changes - 1) * own.step(direction)

        return Rule(own.direction, own.look, step)

    return update
