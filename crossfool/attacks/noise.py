"""Noise that gradient estimators add to images, drawn per image and step."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from crossfool import seeds
from crossfool.errors import refuse_small

Noise = Callable[[int, Tensor], Iterator[Tensor]]  # step (the first is 0), images -> samples, each shaped as the images


def still(step: int, x: Tensor) -> Iterator[Tensor]:
    """No noise."""
    while True:
        yield torch.zeros_like(x)


def gaussian(seed: int, ids: Sequence[int], sigma: float) -> Noise:
    """Samples of N(0, sigma^2 I) in pixel values, drawn for each image from (seed, image id, step).

    So an image's noise does not depend on its batch, on the order of work or on the worker. Within a
    step, the first m samples are the same whatever m. Images are drawn side by side, on as many threads as
    torch computes with.

    Args:
        seed: The attack's seed.
        ids: The images' ids in the data set, (N,).
        sigma: Standard deviation in pixel values, 0 or at least 1.
    """
    refuse_small("sigma", sigma)
    return _drawn(seed, ids, lambda own, generator: own.normal_(0, sigma, generator=generator))


def uniform(seed: int, ids: Sequence[int], radius: float) -> Noise:
    """Samples of the uniform distribution on [-radius, radius), drawn as `gaussian` draws."""
    refuse_small("radius", radius)
    return _drawn(seed, ids, lambda own, generator: own.uniform_(-radius, radius, generator=generator))


def antithetic(noise: Noise) -> Noise:
    """Each sample of a noise, and then its negative: what is odd in it cancels in pairs (Hammersley & Morton 1956).

    Of an odd number of samples, the last has no partner.
    """

    def draw(step: int, x: Tensor) -> Iterator[Tensor]:
        for sample in noise(step, x):
            yield sample
            yield -sample

    return draw


def latin(seed: int, ids: Sequence[int], sigma: float, samples: int) -> Noise:
    """As `gaussian`, each value stratified over a step's samples: a Latin hypercube (McKay et al. 1979, Stein 1987).

    Each of an image's values takes every m-th of the distribution once, in an order of its own, so that whatever is a
    sum of functions of one value cancels nearly; a sample by itself is of N(0, sigma^2 I). All samples of a step are
    drawn at once and depend on m.

    Args:
        seed, ids, sigma: As there.
        samples: m.
    """
    refuse_small("sigma", sigma)

    def draw(step: int, x: Tensor) -> Iterator[Tensor]:
        held = torch.empty((samples, *x.shape), dtype=x.dtype, device=x.device)
        for place, image in enumerate(ids):
            generator = torch.Generator(x.device).manual_seed(seeds.derived(seed, image, step))
            order, within = (
                torch.rand((samples, *x.shape[1:]), generator=generator, device=x.device, dtype=torch.float64)
                for _ in range(2)
            )
            rank = (order.argsort(stable=True, dim=0) + within) / samples
            held[:, place] = torch.special.ndtri(rank.clamp_(2.0**-54, 1 - 2.0**-53)) * sigma
        yield from held

    return draw


def _drawn(seed: int, ids: Sequence[int], distribution: Callable[[Tensor, torch.Generator], Tensor]) -> Noise:
    """Samples that a distribution fills in, an image (C,H,W) at a time, from (seed, image id, step)."""

    def draw(step: int, x: Tensor) -> Iterator[Tensor]:
        generators = [torch.Generator(x.device).manual_seed(seeds.derived(seed, image, step)) for image in ids]
        side_by_side = x.device.type == "cpu" and len(ids) > 1
        with ThreadPoolExecutor(torch.get_num_threads() if side_by_side else 1) as pool:
            while True:
                sample = torch.empty(x.shape, dtype=x.dtype, device=x.device)
                for _ in (pool.map if side_by_side else map)(distribution, sample, generators):
                    pass
                yield sample

    return draw
