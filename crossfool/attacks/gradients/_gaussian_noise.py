"""Noise that a row's `sigma` and `noise` describe, for estimators of noisy images."""

from collections.abc import Sequence

from crossfool.attacks import noise
from crossfool.attacks.config import Attack


def gaussian_noise(row: Attack, ids: Sequence[int]) -> noise.Noise:
    """A row's noise: Gaussian, its antithetic pairs, or a Latin hypercube of it.

    Args:
        row: The attack, with `samples` and `sigma`.
        ids: The images' ids in the data set, (N,).
    """
    assert row.samples is not None and row.sigma is not None
    if row.noise == "latin":
        return noise.latin(row.seed or 0, ids, row.sigma, row.samples)
    gaussian = noise.gaussian(row.seed or 0, ids, row.sigma)
    return noise.antithetic(gaussian) if row.noise == "antithetic" else gaussian
