"""Momentum that begins with gradients of long warm-up steps (GI, arXiv 2211.11236)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crossfool.attacks.part import UpdatePart
from crossfool.attacks.types import Rule, Update
from crossfool.attacks.updates.momentum import momentum
from crossfool.config import Count, Length, NotNegative, Step

if TYPE_CHECKING:
    from torch import Tensor


class Part(UpdatePart, whole_steps=True, smoke={"warmup": 1}, cite="GI: Wang et al. 2022; arXiv 2211.11236"):
    """Momentum gathered on long warm-up steps, after which the attack begins again at the clean image (GI).

    Summary: initialised momentum μ = {decay:g} of {warmup} warm-up steps, {search:g} α long
    Rows:
        gi: momentum of five warm-up steps for ten: {epsilon: 16, steps: 15, step_size: 1.6, update: initialised,
            decay: 1.0, warmup: 5, search: 10}
    Formula:
        look: yₜ = xₜ for t ≥ {warmup}; before, yₜ₊₁ = clip(yₜ + {search:g} · {step_size:g} · sign gₜ₊₁) to [0, 255]
            and |y − x₀| ≤ {epsilon:g}, y₀ = x₀
        momentum: gₜ₊₁ = {decay:g} · gₜ + {gradient} / ‖{gradient}‖₁, g₀ = 0 (equation 5)
        step: [t ≥ {warmup}]

    Attributes:
        decay: μ, of the momentum
        warmup: P, how many of `steps` go before the images' first step; they cost what the others do
        search: s, the length of warm-up steps in step sizes
        epsilon: ε of the row, within which warm-up steps stay, too
    """

    decay: NotNegative
    warmup: Count
    search: Step
    epsilon: Length = 0.0  # `parts.make` fills in the row's

    def update(self, step_size: float) -> Update:
        return initialised(self.decay, self.warmup, self.search, self.epsilon, step_size)

    def misuse(self, row: Any) -> str:
        if row.norm == "l2":
            return "update: initialised warms up by signs in the L-inf ball; remove norm or use another update"
        none_left = f"warmup is {self.warmup}, expected below steps, {row.steps}, of which warm-up steps are a part"
        return none_left if self.warmup >= row.steps else ""


def initialised(decay: float, warmup: int, search: float, epsilon: float, step_size: float) -> Update:
    """Momentum whose first `warmup` gradients are taken on a path of its own, before the images move (GI, 2211.11236).

    The path goes from the clean image by steps of search * step_size, projected as images are. The momentum is kept
    when the images begin to move, at the clean image.

    Args:
        decay: mu.
        warmup: Steps of the path.
        search: Length of the path's steps, in step sizes.
        epsilon: Radius of the ball in which the path stays, in pixel values.
        step_size: alpha, in pixel values.
    """
    import torch

    from crossfool.attacks.projection import project_linf

    def update() -> Rule:
        taken = 0
        clean: Tensor | None = None
        path: Tensor | None = None

        def look(x: Tensor) -> Tensor:
            nonlocal clean, path
            if clean is None or path is None:
                clean = path = x
            return path if taken < warmup else x

        def lengths(direction: Tensor) -> Tensor:
            nonlocal taken, path
            assert clean is not None and path is not None
            taken += 1
            if taken > warmup:
                return torch.ones_like(direction)
            path = project_linf(path + search * step_size * direction.sign(), clean, epsilon)
            return torch.zeros_like(direction)

        return Rule(momentum(decay)(), look, lengths)

    return update
