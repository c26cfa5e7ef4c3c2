"""Relevant gradient: the gradient mixed with its neighbours' mean (GRA, Zhu et al. 2023)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossfool.attacks.gradients._neighbours import Combine, NeighbourGradient
from crossfool.attacks.types import Update

if TYPE_CHECKING:
    from torch import Tensor

STEP_DECAY = 0.94  # eta of Zhu et al. 2023: what a value's step shrinks by where its direction's sign changes


class Part(
    NeighbourGradient,
    takes_views=True,
    noise="uniform",
    smoke={"samples": 1},
    whole_steps=False,
    cite="GRA: Zhu et al. 2023, ICCV",
):
    """Gradient mixed with the mean of its neighbours' by their cosine, with shrinking steps (GRA).

    Summary: relevant gradient of {samples} {noise}
    Evaluations: (m + 1)
    Rows:
        gra: gradient relevance with momentum: {epsilon: 16, steps: 4, step_size: 4, update: momentum, decay: 1.0,
            gradient: relevant, samples: 4, radius: 56}
    Formula:
        gradient: Gₜ = s ∇J({point}) + (1 − s) Hₜ, Hₜ = 1/{samples} · Σᵢ ∇J({point} + {sample}), {samples} {noise}
            afresh each step, s the cosine of the two
        settling: cₜ, for each value: how often its sign has changed since the first step
        step: 0.94^cₜ

    Attributes:
        samples: m, images around the iterate whose gradients are averaged
    """

    def combine(self) -> Combine:
        return mixed

    def adjusted(self, update: Update) -> Update:
        from crossfool.attacks.updates._shrinking import shrinking_steps

        return shrinking_steps(update, STEP_DECAY)


def mixed(gradient: Tensor, neighbours: Tensor) -> Tensor:
    """Mix the gradients g (N,C,H,W) with their neighbours' means h by their cosines s (GRA, Zhu et al. 2023).

    It returns s g + (1 - s) h. A gradient of zeros has cosine 0 with every other.
    """
    similarity = _cosine(gradient, neighbours).view(-1, *[1] * (gradient.ndim - 1))
    return similarity * gradient + (1 - similarity) * neighbours


def _cosine(first: Tensor, second: Tensor) -> Tensor:
    """The cosine (N,) of two gradients (N,C,H,W) of each image, however small or large they are."""
    return (_unit(first) * _unit(second)).sum(1)


def _unit(gradient: Tensor) -> Tensor:
    """Scale each image's gradient (N,C,H,W) to a row of length 1, however small it is; zeros stay zeros."""
    import torch

    flat, tiny = gradient.flatten(1), torch.finfo(gradient.dtype).tiny
    flat = flat / flat.abs().amax(1, keepdim=True).clamp_(min=tiny)
    unit: Tensor = flat / flat.norm(dim=1, keepdim=True).clamp_(min=tiny)
    return unit
