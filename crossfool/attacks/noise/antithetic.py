"""Antithetic noise: pairs of a Gaussian sample and its negative (Hammersley & Morton 1956)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from crossfool.attacks.noise.gaussian import gaussian
from crossfool.attacks.part import NoisePart
from crossfool.attacks.types import Noise
from crossfool.config import NoiseDeviation

if TYPE_CHECKING:
    from torch import Tensor


class Part(NoisePart, cite="Hammersley & Morton 1956"):
    """Gaussian samples in pairs, each with its negative: the error that is odd in the noise cancels.

    Summary: antithetic samples with σ = {sigma:g}
    Formula:
        noise: ξᵢ ~ N(0, {sigma:g}²), antithetic

    Attributes:
        sigma: σ, standard deviation of the noise in pixel values
    """

    sigma: NoiseDeviation

    def draw(self, ids: Sequence[int], seed: int, samples: int) -> Noise:
        return antithetic(gaussian(seed, ids, self.sigma))

    def misuse(self, row: Any) -> str:
        alone = row.value("samples") == 1
        return "noise: antithetic needs samples of at least 2, and here there is 1" if alone else ""


def antithetic(noise: Noise) -> Noise:
    """Antithetic pairs: each sample of a noise, then its negative (Hammersley & Morton 1956).

    Terms that are odd in the noise cancel in pairs. The last of an odd number of samples has no partner.
    """

    def draw(step: int, x: Tensor) -> Iterator[Tensor]:
        for sample in noise(step, x):
            yield sample
            yield -sample

    return draw
