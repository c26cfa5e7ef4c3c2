"""Smoothed gradient: the mean gradient of noisy images (paper equation 8)."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from crossfool.attacks.part import GradientPart
from crossfool.attacks.types import Context, Estimate, Loss, Noise, Views
from crossfool.config import Count

if TYPE_CHECKING:
    from torch import Tensor


class Part(
    GradientPart,
    takes_views=True,
    noise="gaussian",
    paper=True,
    smoke={"samples": 2},
    cite="equation 8; arXiv 1706.03825",
):
    """Mean gradient of noisy images (sg-*, equation 8).

    Summary: smoothed gradient of m = {samples} {noise}
    Evaluations: m
    Rows:
        sg_fgsm: smoothed gradient, one step: {epsilon: 15, steps: 1, step_size: 15, gradient: smoothed,
            samples: 20, sigma: 15}
        sg_igsm: smoothed gradient, iterated: {epsilon: 15, steps: 5, step_size: 5, gradient: smoothed, samples: 20,
            sigma: 15}
        sg_igsm_targeted: smoothed gradient towards a target label: {epsilon: 20, steps: 20, step_size: 15,
            objective: targeted, gradient: smoothed, samples: 20, sigma: 15}
    Formula:
        gradient: Gₜ = 1/{samples} · Σᵢ ∇J({point} + {sample}), {samples} {noise} afresh each step

    Attributes:
        samples: m, images around the iterate whose gradients are averaged
    """

    samples: Count

    @property
    def evaluations(self) -> int:
        return self.samples

    def estimator(self, context: Context) -> Estimate:
        assert context.noise is not None
        return smoothed(self.samples, context.noise, context.together, context.views)


def smoothed(samples: int, noise: Noise, together: int = 1, views: Views | None = None) -> Estimate:
    """An estimator of the smoothed gradient G = (1/m) sum_i grad J(x + xi_i) (paper equation 8).

    The noisy images are not clipped, and every step draws afresh. Make a new estimator for every attack: it counts the
    steps for its noise, from 0.

    Args:
        samples: m.
        noise: The samples' distribution, such as `noise.gaussian.gaussian`.
        together: Number of samples that share a pass through the model, one batch of images behind the other.
        views: Views of each sample, see `sample_gradients`.
    """
    from crossfool.attacks.gradients._samples import mean, sample_gradients

    steps = itertools.count()

    def estimate(loss: Loss, x: Tensor) -> Tensor:
        return mean(sample_gradients(loss, x, noise(next(steps), x), samples, together, views), samples, x)

    return estimate
