"""Gradient estimators: the plain gradient, and the smoothed one of paper equation 8."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from transferbench import seeds
from transferbench.attack import Estimate, Loss

Noise = Callable[[int, Tensor], Iterator[Tensor]]  # step, images -> samples, each shaped as the images


def plain(loss: Loss, x: Tensor) -> Tensor:
    """The gradient of each image's loss, (N,C,H,W)."""
    x = x.detach().requires_grad_()
    return torch.autograd.grad(loss(x).sum(), x)[0]


def smoothed(samples: int, noise: Noise, together: int = 1) -> Estimate:
    """An estimator of the smoothed gradient G = (1/m) sum_i grad J(x + xi_i) (paper equation 8).

    The noisy images are not clipped, and every step draws afresh. Make a new one for every attack: it
    counts the steps.

    Args:
        samples: m.
        noise: Where the samples come from (`gaussian`).
        together: How many samples go through the model in one pass, one batch of images behind the other.
    """
    steps = itertools.count()

    def estimate(loss: Loss, x: Tensor) -> Tensor:
        total = torch.zeros_like(x)
        for gradient in passes(loss, x, noise(next(steps), x), samples, together):
            for part in gradient.split(len(x)):
                total += part
        return total / samples

    return estimate


def passes(loss: Loss, x: Tensor, drawn: Iterator[Tensor], samples: int, together: int) -> Iterator[Tensor]:
    """The gradients at x + each of so many samples, pass by pass: (kN,C,H,W) of k <= `together` samples."""
    for start in range(0, samples, together):
        some = list(itertools.islice(drawn, min(together, samples - start)))
        noisy = [x + sample for sample in some]
        yield plain(loss, noisy[0] if len(noisy) == 1 else torch.cat(noisy))


def gaussian(seed: int, ids: Sequence[int], sigma: float) -> Noise:
    """Samples of N(0, sigma^2 I) in pixel values, drawn for each image from (seed, image id, step).

    So an image's noise does not depend on its batch, on the order of work or on the worker. Within a
    step, the first m samples are the same whatever m. Images are drawn side by side, on as many threads as
    torch computes with.

    Args:
        seed: The attack's seed.
        ids: The images' ids in the data set, (N,).
        sigma: Standard deviation in pixel values.
    """

    def draw(step: int, x: Tensor) -> Iterator[Tensor]:
        generators = [torch.Generator(x.device).manual_seed(seeds.derived(seed, image, step)) for image in ids]

        def fill(own: Tensor, generator: torch.Generator) -> Tensor:
            return own.normal_(0, sigma, generator=generator)

        side_by_side = x.device.type == "cpu" and len(ids) > 1
        with ThreadPoolExecutor(torch.get_num_threads() if side_by_side else 1) as pool:
            while True:
                sample = torch.empty(x.shape, dtype=x.dtype, device=x.device)
                for _ in (pool.map if side_by_side else map)(fill, sample, generators):
                    pass
                yield sample

    return draw
