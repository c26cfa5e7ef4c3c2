"""Relevant gradient: the gradient mixed with its neighbours' mean (GRA, Zhu et al. 2023)."""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from crossfool.attacks.config import Attack
from crossfool.attacks.gradients._samples import gradient_and_neighbours
from crossfool.attacks.loop import Estimate, Loss
from crossfool.attacks.noise import Noise, uniform

STEP_DECAY = 0.94  # eta of Zhu et al. 2023: what a value's step shrinks by, see `compose.build_update`


def estimator(row: Attack, ids: Sequence[int], together: int) -> Estimate:
    """Make a row's estimator, of `samples` neighbours within `radius`. Arguments as in `plain.estimator`."""
    assert row.samples is not None and row.radius is not None
    return relevant(row.samples, uniform(row.seed or 0, ids, row.radius), together, row.scales or 1)


def relevant(samples: int, noise: Noise, together: int = 1, scales: int = 1) -> Estimate:
    """An estimator that mixes the gradient g with its neighbours' mean h by their cosine s (GRA, Zhu et al. 2023).

    It returns s g + (1 - s) h. A gradient of zeros has cosine 0 with every other. Arguments as in `smoothed`.
    """
    steps = itertools.count()

    def estimate(loss: Loss, x: Tensor) -> Tensor:
        gradient, neighbours = gradient_and_neighbours(loss, x, noise(next(steps), x), samples, together, scales)
        similarity = _cosine(gradient, neighbours).view(-1, *[1] * (x.ndim - 1))
        return similarity * gradient + (1 - similarity) * neighbours

    return estimate


def _cosine(first: Tensor, second: Tensor) -> Tensor:
    """The cosine (N,) of two gradients (N,C,H,W) of each image, however small or large they are."""
    return (_unit(first) * _unit(second)).sum(1)


def _unit(gradient: Tensor) -> Tensor:
    """Scale each image's gradient (N,C,H,W) to a row of length 1, however small it is; zeros stay zeros."""
    flat, tiny = gradient.flatten(1), torch.finfo(gradient.dtype).tiny
    flat = flat / flat.abs().amax(1, keepdim=True).clamp_(min=tiny)
    unit: Tensor = flat / flat.norm(dim=1, keepdim=True).clamp_(min=tiny)
    return unit
