"""Varied gradient: the gradient tuned by its variance around the last step (VMI, arXiv 2103.15571)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crossfool.attacks.gradients._neighbours import Combine, NeighbourGradient

if TYPE_CHECKING:
    from torch import Tensor


class Part(
    NeighbourGradient,
    takes_views=True,
    noise="uniform",
    smoke={"samples": 1},
    cite="VMI: Wang & He 2021; arXiv 2103.15571",
):
    """Gradient tuned by its variance around the last step (VMI, algorithm 1).

    Summary: varied gradient of {samples} {noise}
    Evaluations: (m + 1)
    Rows:
        vmi: variance tuning with momentum: {epsilon: 16, steps: 4, step_size: 4, update: momentum, decay: 1.0,
            gradient: varied, samples: 4, radius: 24}
    Formula:
        gradient: Gₜ = ∇J({point}) + vₜ, v₀ = 0, vₜ₊₁ = 1/{samples} · Σᵢ ∇J({point} + {sample}), {samples} {noise}
            afresh each step, − ∇J({point})

    Attributes:
        samples: m, images around the iterate whose gradients are averaged
    """

    def combine(self) -> Combine:
        return varied()

    def misuse(self, row: Any) -> str:
        late = "gradient: varied differs from plain from its second step on; set steps: 2 or more"
        return late if row.steps == 1 else ""


def varied() -> Combine:
    """Make the gradient of a step tuned by its variance around the last step (VMI, arXiv 2103.15571, algorithm 1).

    It is g_t + v_t, where g_t = grad J(x_t), v_0 = 0 and v_{t+1} = (1/n) sum_i grad J(x_t + r_i) - g_t.
    """
    variance: Tensor | None = None

    def combine(gradient: Tensor, neighbours: Tensor) -> Tensor:
        nonlocal variance
        tuned = gradient if variance is None else gradient + variance
        variance = neighbours - gradient
        return tuned

    return combine
