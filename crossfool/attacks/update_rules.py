"""Update rules: how a raw gradient becomes a step (sign, momentum, Nesterov, shrinking steps)."""

from collections.abc import Callable

import torch
from torch import Tensor

from crossfool.attacks.loop import Direction, Rule, Update, as_rule


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


def shrinking_steps(inner: Update, factor: float) -> Update:
    """An update whose steps shrink where its direction changes sign (GRA's decay indicator, Zhu et al. 2023).

    The step of each value is multiplied by `factor` at each change of its direction's sign but the first, which is
    from 0.
    """

    def update() -> Rule:
        inner_rule = as_rule(inner())
        last_sign: Tensor | None = None
        changes = torch.zeros(())

        def step(direction: Tensor) -> Tensor:
            nonlocal last_sign, changes
            sign = direction.sign()
            changes = changes.to(sign) + (sign != (torch.zeros_like(sign) if last_sign is None else last_sign))
            last_sign = sign
            return factor ** (changes - 1) * inner_rule.step(direction)

        return Rule(inner_rule.direction, inner_rule.look, step)

    return update
