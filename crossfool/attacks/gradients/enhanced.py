"""Enhanced gradient: the mean gradient at points along the gradient of the step before (EMI, arXiv 2103.10609)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from crossfool.attacks.part import GradientPart
from crossfool.attacks.types import Context, Estimate, Loss, Views
from crossfool.config import Step

if TYPE_CHECKING:
    from torch import Tensor


class Part(GradientPart, takes_views=True, smoke={"samples": 2}, cite="EMI: Wang et al. 2021; arXiv 2103.10609"):
    """Mean gradient at points spaced evenly along the gradient of the step before, to both sides (EMI).

    Summary: enhanced gradient of {samples} points within {reach:g}
    Evaluations: m
    Rows:
        emi: momentum of gradients along the last one: {epsilon: 16, steps: 10, step_size: 1.6, update: momentum,
            decay: 1.0, gradient: enhanced, samples: 11, reach: 11.2}
    Formula:
        gradient: Gₜ = 1/{samples} · Σᵢ ∇J({point} + cᵢ · dₜ), cᵢ = −{reach:g} … {reach:g}, {samples} evenly spaced
        along: dₜ, the last step's n Gₜ₋₁ / ‖Gₜ₋₁‖₁, n the image's number of values; 0 in the first step

    Attributes:
        samples: m, points whose gradients are averaged
        reach: pixel values, on average, from the iterate to the last point on either side; the paper's is 7 α
    """

    samples: Annotated[int, Field(ge=2)]
    reach: Step

    @property
    def evaluations(self) -> int:
        return self.samples

    def estimator(self, context: Context) -> Estimate:
        return enhanced(self.samples, self.reach, context.together, context.views)

    def misuse(self, row: Any) -> str:
        late = "gradient: enhanced differs from plain from its second step on; set steps: 2 or more"
        return late if row.steps == 1 else ""


def enhanced(samples: int, reach: float, together: int = 1, views: Views | None = None) -> Estimate:
    """An estimator of the mean gradient at x + c_i d, i < m (EMI, arXiv 2103.10609).

    c_i = -reach ... reach are spaced evenly, and d is the estimate of the step before, divided by the mean of its
    absolute values. In the first step d is zero: all m points are x, and are evaluated as in the authors' code. Make a
    new estimator for every attack.

    Args:
        samples: m, at least 2.
        reach: Pixel values.
        together: Number of points that share a pass through the model.
        views: Views of each point, see `sample_gradients`.
    """
    import torch

    from crossfool.attacks.gradients._along import unit_mean
    from crossfool.attacks.gradients._samples import mean, sample_gradients

    factors = torch.linspace(-reach, reach, samples, dtype=torch.float64).tolist()
    last: Tensor | None = None

    def estimate(loss: Loss, x: Tensor) -> Tensor:
        nonlocal last
        along = torch.zeros_like(x) if last is None else unit_mean(last)
        points = (factor * along for factor in factors)
        last = mean(sample_gradients(loss, x, points, samples, together, views), samples, x)
        return last

    return estimate
