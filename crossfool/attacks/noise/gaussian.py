"""Gaussian noise, drawn for each image from (seed, image id, step)."""

from __future__ import annotations

from collections.abc import Sequence

from crossfool.attacks.part import NoisePart
from crossfool.attacks.types import Noise
from crossfool.config import NoiseDeviation
from crossfool.errors import refuse_small_pixel_value


class Part(NoisePart, paper=True, cite="equation 8; arXiv 1706.03825"):
    """Independent samples of N(0, σ²I), in pixel values.

    Summary: samples with σ = {sigma:g}
    Formula:
        noise: ξᵢ ~ N(0, {sigma:g}²)

    Attributes:
        sigma: σ, standard deviation of the noise in pixel values
    """

    sigma: NoiseDeviation

    def draw(self, ids: Sequence[int], seed: int, samples: int) -> Noise:
        return gaussian(seed, ids, self.sigma)


def gaussian(seed: int, ids: Sequence[int], sigma: float) -> Noise:
    """Samples of N(0, sigma^2 I) in pixel values, drawn for each image from (seed, image id, step).

    So an image's noise does not depend on its batch, on the order of work or on the worker. Within a step, the first m
    samples are the same whatever m. On the CPU, images are drawn side by side, on as many threads as torch computes
    with.

    Args:
        seed: The attack's seed.
        ids: The images' ids in the data set, (N,).
        sigma: Standard deviation in pixel values, 0 or at least 1.
    """
    from crossfool.attacks.noise._draws import drawn

    refuse_small_pixel_value("sigma", sigma)
    return drawn(seed, ids, lambda sample, generator: sample.normal_(0, sigma, generator=generator))
