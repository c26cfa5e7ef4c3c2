"""Varied gradient: the gradient tuned by its variance around the last step (VMI, arXiv 2103.15571)."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from crossfool.attacks.part import GradientPart
from crossfool.attacks.types import Context, Estimate, Loss, Noise, Views
from crossfool.config import Count

if TYPE_CHECKING:
    from torch import Tensor


class Part(
    GradientPart, takes_views=True, noise="uniform", smoke={"samples": 1}, cite="VMI: Wang & He 2021; arXiv 2103.15571"
):
    """Gradient tuned by its variance around the last step (VMI, algorithm 1).

    Summary: varied gradient of {samples} {noise}
    Evaluations: (m + 1)
    Formula:
        gradient: Gₜ = ∇J({point}) + vₜ, v₀ = 0, vₜ₊₁ = 1/{samples} · Σᵢ ∇J({point} + {sample}), {samples} {noise}
            afresh each step, − ∇J({point})

    Attributes:
        samples: m, images around the iterate whose gradients are averaged
    """

    samples: Count

    @property
    def evaluations(self) -> int:
        return self.samples + 1  # the image's own gradient, too

    def estimator(self, context: Context) -> Estimate:
        assert context.noise is not None
        return varied(self.samples, context.noise, context.together, context.views)

    def misuse(self, row: Any) -> str:
        late = "gradient: varied differs from plain from its second step on; set steps: 2 or more"
        return late if row.steps == 1 else ""


def varied(samples: int, noise: Noise, together: int = 1, views: Views | None = None) -> Estimate:
    """An estimator of the gradient tuned by its variance around the last step (VMI, arXiv 2103.15571, algorithm 1).

    It returns g_t + v_t, where g_t = grad J(x_t), v_0 = 0 and v_{t+1} = (1/n) sum_i grad J(x_t + r_i) - g_t. Arguments
    as in `smoothed`.
    """
    from crossfool.attacks.gradients._samples import gradient_and_neighbours

    steps = itertools.count()
    variance: Tensor | None = None

    def estimate(loss: Loss, x: Tensor) -> Tensor:
        nonlocal variance
        gradient, neighbours = gradient_and_neighbours(loss, x, noise(next(steps), x), samples, together, views)
        tuned = gradient if variance is None else gradient + variance
        variance = neighbours - gradient
        return tuned

    return estimate
