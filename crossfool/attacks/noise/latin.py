"""Latin hypercube of Gaussian noise (McKay et al. 1979, Stein 1987)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from crossfool.attacks.noise._jointly_drawn import JointlyDrawn
from crossfool.attacks.types import Noise
from crossfool.errors import refuse_small_pixel_value

if TYPE_CHECKING:
    from torch import Tensor


class Part(JointlyDrawn, cite="McKay et al. 1979; Stein 1987"):
    """Gaussian samples stratified over a step: each value takes every m-th of the distribution once.

    Summary: latin samples with σ = {sigma:g}
    Rows:
        sg_igsm_latin: smoothed gradient of a Latin hypercube: {epsilon: 15, steps: 5, step_size: 5,
            gradient: smoothed, samples: 20, sigma: 15, noise: latin}
    Formula:
        noise: ξᵢ ~ N(0, {sigma:g}²), latin

    Attributes:
        sigma: σ, standard deviation of the noise in pixel values
    """

    def draw(self, ids: Sequence[int], seed: int, samples: int) -> Noise:
        return latin(seed, ids, self.sigma, samples)


def latin(seed: int, ids: Sequence[int], sigma: float, samples: int) -> Noise:
    """Gaussian noise stratified over a step's samples: a Latin hypercube (McKay et al. 1979, Stein 1987).

    Each of an image's values takes every m-th part of the distribution once, in an independent order, so that a sum of
    functions of single values nearly cancels; a single sample is of N(0, sigma^2 I). All samples of a step are drawn
    at once and depend on m.

    Args:
        seed: As in `gaussian`.
        ids: As in `gaussian`.
        sigma: As in `gaussian`.
        samples: m.
    """
    import torch

    from crossfool.attacks.noise._draws import generators

    refuse_small_pixel_value("sigma", sigma)

    def draw(step: int, x: Tensor) -> Iterator[Tensor]:
        noise = torch.empty((samples, *x.shape), dtype=x.dtype, device=x.device)
        for position, generator in enumerate(generators(seed, ids, step, x.device)):
            order, within = (
                torch.rand((samples, *x.shape[1:]), generator=generator, device=x.device, dtype=torch.float64)
                for _ in range(2)
            )
            quantile = (order.argsort(stable=True, dim=0) + within) / samples
            noise[:, position] = torch.special.ndtri(quantile.clamp_(2.0**-54, 1 - 2.0**-53)) * sigma
        yield from noise

    return draw
