"""Uniform noise: neighbours of an image within a radius."""

from __future__ import annotations

from collections.abc import Sequence

from crossfool.attacks.part import NoisePart
from crossfool.attacks.types import Noise
from crossfool.config import Radius
from crossfool.errors import refuse_small_pixel_value


class Part(NoisePart, cite="Wang & He 2021; arXiv 2103.15571"):
    """Independent samples of the uniform distribution on [−r, r) in each pixel value.

    Summary: neighbours within {radius:g}
    Formula:
        noise: rᵢ ~ U(−{radius:g}, {radius:g})

    Attributes:
        radius: r, the most by which a neighbour differs in a value
    """

    radius: Radius

    def draw(self, ids: Sequence[int], seed: int, samples: int) -> Noise:
        return uniform(seed, ids, self.radius)


def uniform(seed: int, ids: Sequence[int], radius: float) -> Noise:
    """Samples of the uniform distribution on [-radius, radius) in pixel values, drawn as in `gaussian`."""
    from crossfool.attacks.noise._draws import drawn

    refuse_small_pixel_value("radius", radius)
    return drawn(seed, ids, lambda sample, generator: sample.uniform_(-radius, radius, generator=generator))
