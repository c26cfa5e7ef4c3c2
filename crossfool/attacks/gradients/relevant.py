"""Relevant gradient: the gradient mixed with its neighbours' mean (GRA, Zhu et al. 2023)."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from crossfool.attacks.part import GradientPart
from crossfool.attacks.types import Context, Estimate, Loss, Noise, Update, Views
from crossfool.config import Count

if TYPE_CHECKING:
    from torch import Tensor

STEP_DECAY = 0.94  # eta of Zhu et al. 2023: what a value's step shrinks by where its direction's sign changes


class Part(
    GradientPart,
    takes_views=True,
    noise="uniform",
    smoke={"samples": 1},
    whole_steps=False,
    cite="GRA: Zhu et al. 2023, ICCV",
):
    """Gradient mixed with the mean of its neighbours' by their cosine, with shrinking steps (GRA).

    Summary: relevant gradient of {samples} {noise}
    Evaluations: (m + 1)
    Formula:
        gradient: Gₜ = s ∇J({point}) + (1 − s) Hₜ, Hₜ = 1/{samples} · Σᵢ ∇J({point} + {sample}), {samples} {noise}
            afresh each step, s the cosine of the two
        settling: cₜ, for each value: how often its sign has changed since the first step
        step: 0.94^cₜ

    Attributes:
        samples: m, images around the iterate whose gradients are averaged
    """

    samples: Count

    @property
    def evaluations(self) -> int:
        return self.samples + 1  # the image's own gradient, too

    def estimator(self, context: Context) -> Estimate:
        assert context.noise is not None
        return relevant(self.samples, context.noise, context.together, context.views)

    def adjusted(self, update: Update) -> Update:
        from crossfool.attacks.updates._shrinking import shrinking_steps

        return shrinking_steps(update, STEP_DECAY)


def relevant(samples: int, noise: Noise, together: int = 1, views: Views | None = None) -> Estimate:
    """An estimator that mixes the gradient g with its neighbours' mean h by their cosine s (GRA, Zhu et al. 2023).

    It returns s g + (1 - s) h. A gradient of zeros has cosine 0 with every other. Arguments as in `smoothed`.
    """
    from crossfool.attacks.gradients._samples import gradient_and_neighbours

    steps = itertools.count()

    def estimate(loss: Loss, x: Tensor) -> Tensor:
        gradient, neighbours = gradient_and_neighbours(loss, x, noise(next(steps), x), samples, together, views)
        similarity = _cosine(gradient, neighbours).view(-1, *[1] * (x.ndim - 1))
        return similarity * gradient + (1 - similarity) * neighbours

    return estimate


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
