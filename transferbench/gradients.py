"""Gradient estimators: the plain gradient, and the smoothed one of paper equation 8."""

import itertools
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from transferbench import seeds
from transferbench.attack import Estimate, Loss

Noise = Callable[[int, Tensor], Iterator[Tensor]]  # step, images -> samples, each shaped as the images


def plain(loss: Loss, x: Tensor) -> Tensor:
    """The gradient of each image's loss, (N,C,H,W)."""
    x = x.detach().requires_grad_()
    return torch.autograd.grad(loss(x).sum(), x)[0]


def smoothed(samples: int, noise: Noise) -> Estimate:
    """An estimator of the smoothed gradient G = (1/m) sum_i grad J(x + xi_i) (paper equation 8).

    The noisy images are not clipped, and every step draws afresh. Make a new one for every attack: it
    counts the steps.

    Args:
        samples: m.
        noise: Where the samples come from (`gaussian`).
    """
    steps = itertools.count()

    def estimate(loss: Loss, x: Tensor) -> Tensor:
        total = torch.zeros_like(x)
        for sample in itertools.islice(noise(next(steps), x), samples):
            total += plain(loss, x + sample)
        return total / samples

    return estimate


def gaussian(seed: int, ids: Sequence[int], sigma: float) -> Noise:
    """Samples of N(0, sigma^2 I) in pixel values, drawn for each image from (seed, image id, step).

    So an image's noise does not depend on its batch, on the order of work or on the worker. Within a
    step, the first m samples are the same whatever m.

    Args:
        seed: The attack's seed.
        ids: The images' ids in the data set, (N,).
        sigma: Standard deviation in pixel values.
    """

    def draw(step: int, x: Tensor) -> Iterator[Tensor]:
        generators = [torch.Generator(x.device).manual_seed(seeds.derived(seed, image, step)) for image in ids]
        while True:
            sample = torch.empty(x.shape, dtype=x.dtype, device=x.device)
            for own, generator in zip(sample, generators, strict=True):
                own.normal_(0, sigma, generator=generator)
            yield sample

    return draw
