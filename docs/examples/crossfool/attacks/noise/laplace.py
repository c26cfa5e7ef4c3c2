"""Laplace noise: sharper than Gaussian noise of the same deviation, with longer tails."""

from __future__ import annotations

from collections.abc import Sequence

from crossfool.attacks.part import NoisePart
from crossfool.attacks.types import Noise
from crossfool.config import Radius


class Part(NoisePart, cite="docs/contributing.md"):
    """Independent samples of the Laplace distribution, in pixel values.

    Summary: Laplace samples of spread {spread:g}
    Formula:
        noise: ξᵢ ~ Laplace(0, {spread:g})

    Attributes:
        spread: b, mean absolute value of the noise in pixel values
    """

    spread: Radius

    def draw(self, ids: Sequence[int], seed: int, samples: int) -> Noise:
        from crossfool.attacks.noise._draws import drawn

        rate = 1 / self.spread  # the difference of two exponential variables is a Laplace one
        return drawn(
            seed,
            ids,
            lambda sample, generator: sample.exponential_(rate, generator=generator).sub_(
                sample.clone().exponential_(rate, generator=generator)
            ),
        )
