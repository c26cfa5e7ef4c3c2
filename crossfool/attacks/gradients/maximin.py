"""Maximin gradient: the mean gradient of neighbours moved along gradients of the steps before (MEF)."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from crossfool.attacks.part import GradientPart
from crossfool.attacks.types import Context, Estimate, Loss, Noise, Views
from crossfool.config import Count, NotNegative, Step

if TYPE_CHECKING:
    from torch import Tensor


class Part(
    GradientPart,
    takes_views=True,
    noise="uniform",
    smoke={"samples": 1},
    cite="MEF: Qiu et al. 2026; arXiv 2405.16181, github.com/SignedQiu/MEFAttack",
):
    """Mean gradient of neighbours, each moved along its gradients of the steps before (MEF, by its authors' code).

    Summary: maximin gradient of {samples} {noise}, moved by {reach:g}
    Evaluations: m
    Rows:
        mef: expected flatness at the cost of its samples: {epsilon: 16, steps: 20, step_size: 1.6, update: momentum,
            decay: 0.5, gradient: maximin, samples: 20, radius: 32, reach: 2.4, inner_decay: 0.9}
    Formula:
        gradient: Gₜ = 1/{samples} · Σᵢ gᵢ, gᵢ = ∇J({point} + {sample} + {reach:g} · hᵢ), {samples} {noise} afresh
            each step
        moves: hᵢ, for neighbour i: 0 at first, n gᵢ / ‖gᵢ‖₁ − {inner_decay:g} · hᵢ after each step, n the image's
            number of values

    Attributes:
        samples: m, images around the iterate whose gradients are averaged
        reach: ξ, pixel values by which a neighbour is moved along a gradient whose values are 1 on average
        inner_decay: weight that a neighbour's last move has, with its sign turned, in the next
    """

    samples: Count
    reach: Step
    inner_decay: NotNegative

    @property
    def evaluations(self) -> int:
        return self.samples

    def estimator(self, context: Context) -> Estimate:
        assert context.noise is not None
        return maximin(self.samples, self.reach, self.inner_decay, context.noise, context.together, context.views)

    def misuse(self, row: Any) -> str:
        late = "gradient: maximin differs from smoothed of its noise from its second step on; set steps: 2 or more"
        return late if row.steps == 1 else ""


def maximin(
    samples: int, reach: float, inner_decay: float, noise: Noise, together: int = 1, views: Views | None = None
) -> Estimate:
    """An estimator of the mean gradient at x + r_i + reach h_i, i < m (MEF, arXiv 2405.16181, its authors' code).

    h_i = 0 in the first step; after each, h_i <- g_i / mean |g_i| - inner_decay h_i, where g_i is the gradient at
    neighbour i. It keeps m gradients of each image from step to step. Make a new estimator for every attack.

    Args:
        samples: m.
        reach: Pixel values.
        inner_decay: Weight of h_i in the next.
        noise: The distribution of r_i.
        together: Number of neighbours that share a pass through the model.
        views: Views of each neighbour, see `sample_gradients`.
    """
    from crossfool.attacks.gradients._along import gradients_at, unit_mean
    from crossfool.attacks.gradients._samples import mean

    steps = itertools.count()
    moves: list[Tensor] = []

    def estimate(loss: Loss, x: Tensor) -> Tensor:
        nonlocal moves
        neighbours = list(itertools.islice(noise(next(steps), x), samples))
        if moves:
            neighbours = [neighbour + reach * move for neighbour, move in zip(neighbours, moves, strict=True)]
        gradients = gradients_at(loss, x, neighbours, together, views)
        units = [unit_mean(gradient) for gradient in gradients]
        moves = [unit - inner_decay * move for unit, move in zip(units, moves, strict=True)] if moves else units
        return mean(iter(gradients), samples, x)

    return estimate
