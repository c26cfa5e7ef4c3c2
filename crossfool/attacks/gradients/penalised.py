"""Penalised gradient: the gradient of a loss whose gradient's norm is penalised (PGN, arXiv 2306.05225)."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from crossfool.attacks.part import GradientPart
from crossfool.attacks.types import Context, Estimate, Loss, Noise, Views
from crossfool.config import Count, Step

if TYPE_CHECKING:
    from torch import Tensor


class Part(
    GradientPart,
    takes_views=True,
    noise="uniform",
    smoke={"samples": 1},
    cite="PGN: Ge et al. 2023; arXiv 2306.05225",
):
    """Mean gradient of neighbours and of points down their gradients: a penalty on the gradient's norm (PGN).

    Summary: penalised gradient (δ = {balance:g}, {reach:g} down) of {samples} {noise}
    Evaluations: 2m
    Rows:
        pgn: gradient norms penalised: {epsilon: 16, steps: 10, step_size: 1.6, update: momentum, decay: 1.0,
            gradient: penalised, samples: 20, radius: 48, reach: 1.6, balance: 0.5}
    Formula:
        gradient: Gₜ = 1/{samples} · Σᵢ ((1 − {balance:g}) · gᵢ + {balance:g} · ∇J(yᵢ − {reach:g} · n gᵢ / ‖gᵢ‖₁)), gᵢ
            the gradient at yᵢ, yᵢ the point {point} + {sample}, {samples} {noise} afresh each step, n the image's
            number of values

    Attributes:
        samples: m, images around the iterate, of each of which two gradients are averaged
        reach: pixel values, on average, from a neighbour to the point down its gradient; the paper's is α
        balance: δ, weight of the gradient at the point down the gradient; 1 − δ is the neighbour's own
    """

    samples: Count
    reach: Step
    balance: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]

    @property
    def evaluations(self) -> int:
        return 2 * self.samples

    def estimator(self, context: Context) -> Estimate:
        assert context.noise is not None
        return penalised(self.samples, self.reach, self.balance, context.noise, context.together, context.views)


def penalised(
    samples: int, reach: float, balance: float, noise: Noise, together: int = 1, views: Views | None = None
) -> Estimate:
    """An estimator of the mean over m neighbours y of (1 - delta) g + delta g' (PGN, arXiv 2306.05225, algorithm 1).

    g is the gradient at y = x + r, and g' that at y - reach g / mean |g|: the finite difference of both stands for the
    Hessian in the gradient of a penalty on the gradient's norm. All g of a step are computed before the first g', so
    that what is drawn for each evaluation does not depend on `together`. Make a new estimator for every attack.

    Args:
        samples: m.
        reach: Pixel values.
        balance: delta.
        noise: The distribution of r.
        together: Number of points that share a pass through the model.
        views: Views of each point, see `sample_gradients`.
    """
    from crossfool.attacks.gradients._along import gradients_at, unit_mean
    from crossfool.attacks.gradients._samples import mean

    steps = itertools.count()

    def estimate(loss: Loss, x: Tensor) -> Tensor:
        neighbours = list(itertools.islice(noise(next(steps), x), samples))
        own = gradients_at(loss, x, neighbours, together, views)
        down = [neighbour - reach * unit_mean(gradient) for neighbour, gradient in zip(neighbours, own, strict=True)]
        there = gradients_at(loss, x, down, together, views)
        mixed = ((1 - balance) * first + balance * second for first, second in zip(own, there, strict=True))
        return mean(mixed, samples, x)

    return estimate
