"""Varied gradient: the gradient tuned by its variance around the last step (VMI, arXiv 2103.15571)."""

import itertools
from collections.abc import Sequence

from torch import Tensor

from crossfool.attacks.config import Attack
from crossfool.attacks.gradients._samples import gradient_and_neighbours
from crossfool.attacks.loop import Estimate, Loss
from crossfool.attacks.noise import Noise, uniform


def estimator(row: Attack, ids: Sequence[int], together: int) -> Estimate:
    """Make a row's estimator, of `samples` neighbours within `radius`. Arguments as in `plain.estimator`."""
    assert row.samples is not None and row.radius is not None
    return varied(row.samples, uniform(row.seed or 0, ids, row.radius), together, row.scales or 1)


def varied(samples: int, noise: Noise, together: int = 1, scales: int = 1) -> Estimate:
    """An estimator of the gradient tuned by its variance around the last step (VMI, arXiv 2103.15571, algorithm 1).

    It returns g_t + v_t, where g_t = grad J(x_t), v_0 = 0 and v_{t+1} = (1/n) sum_i grad J(x_t + r_i) - g_t. Arguments
    as in `smoothed`.
    """
    steps = itertools.count()
    variance: Tensor | None = None

    def estimate(loss: Loss, x: Tensor) -> Tensor:
        nonlocal variance
        gradient, neighbours = gradient_and_neighbours(loss, x, noise(next(steps), x), samples, together, scales)
        tuned = gradient if variance is None else gradient + variance
        variance = neighbours - gradient
        return tuned

    return estimate
