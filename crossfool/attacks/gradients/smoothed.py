"""Smoothed gradient: the mean gradient of noisy images (paper equation 8)."""

import itertools
from collections.abc import Sequence

from torch import Tensor

from crossfool.attacks.config import Attack
from crossfool.attacks.gradients._gaussian_noise import gaussian_noise
from crossfool.attacks.gradients._samples import mean, sample_gradients
from crossfool.attacks.loop import Estimate, Loss
from crossfool.attacks.noise import Noise


def estimator(row: Attack, ids: Sequence[int], together: int) -> Estimate:
    """Make a row's estimator: the smoothed gradient of `samples` noisy images. Arguments as in `plain.estimator`."""
    assert row.samples is not None
    return smoothed(row.samples, gaussian_noise(row, ids), together, row.scales or 1)


def smoothed(samples: int, noise: Noise, together: int = 1, scales: int = 1) -> Estimate:
    """An estimator of the smoothed gradient G = (1/m) sum_i grad J(x + xi_i) (paper equation 8).

    The noisy images are not clipped, and every step draws afresh. Make a new estimator for every attack: it counts the
    steps for its noise, from 0.

    Args:
        samples: m.
        noise: The samples' distribution, such as `noise.gaussian`.
        together: Number of samples that share a pass through the model, one batch of images behind the other.
        scales: Number of halvings of each sample, see `sample_gradients`.
    """
    steps = itertools.count()

    def estimate(loss: Loss, x: Tensor) -> Tensor:
        return mean(sample_gradients(loss, x, noise(next(steps), x), samples, together, scales), samples, x)

    return estimate
