"""Noise that gradient estimators add to images, drawn for each image from (seed, image id, step)."""

import functools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from crossfool import seeds
from crossfool.errors import refuse_small_pixel_value

Noise = Callable[[int, Tensor], Iterator[Tensor]]  # step (the first is 0), images -> samples, each shaped as the images


def no_noise(step: int, x: Tensor) -> Iterator[Tensor]:
    """No noise: samples of zeros."""
    while True:
        yield torch.zeros_like(x)


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
    refuse_small_pixel_value("sigma", sigma)
    return _drawn(seed, ids, lambda sample, generator: sample.normal_(0, sigma, generator=generator))


def uniform(seed: int, ids: Sequence[int], radius: float) -> Noise:
    """Samples of the uniform distribution on [-radius, radius) in pixel values, drawn as in `gaussian`."""
    refuse_small_pixel_value("radius", radius)
    return _drawn(seed, ids, lambda sample, generator: sample.uniform_(-radius, radius, generator=generator))


def antithetic(noise: Noise) -> Noise:
    """Antithetic pairs: each sample of a noise, then its negative (Hammersley & Morton 1956).

    Terms that are odd in the noise cancel in pairs. The last of an odd number of samples has no partner.
    """

    def draw(step: int, x: Tensor) -> Iterator[Tensor]:
        for sample in noise(step, x):
            yield sample
            yield -sample

    return draw


def latin(seed: int, ids: Sequence[int], sigma: float, samples: int) -> Noise:
    """Gaussian noise stratified over a step's samples: a Latin hypercube (McKay et al. 1979, Stein 1987).

    Each of an image's values takes every m-th part of the distribution once, in an independent order, so that a sum of
    functions of single values nearly cancels; a single sample is of N(0, sigma^2 I). All samples of a step are drawn
    at once and depend on m.

    Args:
        seed, ids, sigma: As in `gaussian`.
        samples: m.
    """
    refuse_small_pixel_value("sigma", sigma)

    def draw(step: int, x: Tensor) -> Iterator[Tensor]:
        noise = torch.empty((samples, *x.shape), dtype=x.dtype, device=x.device)
        for position, generator in enumerate(_generators(seed, ids, step, x.device)):
            order, within = (
                torch.rand((samples, *x.shape[1:]), generator=generator, device=x.device, dtype=torch.float64)
                for _ in range(2)
            )
            quantile = (order.argsort(stable=True, dim=0) + within) / samples
            noise[:, position] = torch.special.ndtri(quantile.clamp_(2.0**-54, 1 - 2.0**-53)) * sigma
        yield from noise

    return draw


def _drawn(seed: int, ids: Sequence[int], fill: Callable[[Tensor, torch.Generator], Tensor]) -> Noise:
    """Noise whose samples `fill` writes in place, an image (C,H,W) at a time."""

    def draw(step: int, x: Tensor) -> Iterator[Tensor]:
        generators = _generators(seed, ids, step, x.device)
        side_by_side = x.device.type == "cpu" and len(ids) > 1
        map_images = _thread_pool(torch.get_num_threads()).map if side_by_side else map
        while True:
            sample = torch.empty(x.shape, dtype=x.dtype, device=x.device)
            for _ in map_images(fill, sample, generators):
                pass
            yield sample

    return draw


def _generators(seed: int, ids: Sequence[int], step: int, device: torch.device) -> list[torch.Generator]:
    """A random generator for each image, seeded by (seed, image id, step)."""
    return [torch.Generator(device).manual_seed(seeds.derive_seed(seed, image_id, step)) for image_id in ids]


@functools.cache
def _thread_pool(threads: int) -> ThreadPoolExecutor:
    """Threads that draw noise, kept for all steps: starting them anew for each takes longer than a small draw."""
    return ThreadPoolExecutor(threads, thread_name_prefix="noise")
