"""Antithetic noise: pairs of a Gaussian sample and its negative (Hammersley & Morton 1956)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from crossfool.attacks.noise._jointly_drawn import JointlyDrawn
from crossfool.attacks.noise.gaussian import gaussian
from crossfool.attacks.types import Noise

if TYPE_CHECKING:
    from torch import Tensor


class Part(JointlyDrawn, cite="Hammersley & Morton 1956"):
    """Gaussian samples in pairs, each with its negative: the error that is odd in the noise cancels.

    Summary: antithetic samples with σ = {sigma:g}
    Rows:
        sg_igsm_antithetic: smoothed gradient of antithetic pairs: {epsilon: 15, steps: 5, step_size: 5,
            gradient: smoothed, samples: 20, sigma: 15, noise: antithetic}
    Formula:
        noise: ξᵢ ~ N(0, {sigma:g}²), antithetic

    Attributes:
        sigma: σ, standard deviation of the noise in pixel values
    """

    def draw(self, ids: Sequence[int], seed: int, samples: int) -> Noise:
        return antithetic(gaussian(seed, ids, self.sigma))


def antithetic(noise: Noise) -> Noise:
    """Antithetic pairs: each sample of a noise, then its negative (Hammersley & Morton 1956).

    Terms that are odd in the noise cancel in pairs. The last of an odd number of samples has no partner.
    """

    def draw(step: int, x: Tensor) -> Iterator[Tensor]:
        for sample in noise(step, x):
            yield sample
            yield -sample

    return draw
