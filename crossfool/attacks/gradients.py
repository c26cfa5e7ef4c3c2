"""Gradient estimators: plain, smoothed (paper equation 8), varied (VMI), relevant (GRA), scaled (SI), convolved (TI).

An estimator takes a loss and images x (N,C,H,W), pixels 0..255, and returns a raw gradient of that shape. One that
draws noise is made afresh for every attack on images, since it counts the steps.
"""

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from crossfool.attacks.loop import Estimate, Loss
from crossfool.attacks.noise import Noise
from crossfool.errors import UserError, brief


def plain(loss: Loss, x: Tensor) -> Tensor:
    """The gradient of each image's loss, (N,C,H,W); within `torch.no_grad()` and `torch.inference_mode()`, too.

    Raises:
        Underivable: torch cannot differentiate the loss by its images.
    """
    try:
        with torch.inference_mode(False), torch.enable_grad():
            x = (x.clone() if x.is_inference() else x.detach()).requires_grad_()
            return torch.autograd.grad(loss(x).sum(), x)[0]
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, NotImplementedError) as error:
        if any(phrase in str(error) for phrase in ("out of memory", "allocate memory", "CUDA error")):
            raise  # a fault of the machine and not of the network
        raise NotDifferentiable(f"torch has no gradient of the network by its images ({brief(error)})") from error


class NotDifferentiable(UserError):
    """The error for a network that torch cannot differentiate by its images: it may be a target, but no source."""


def smoothed(samples: int, noise: Noise, together: int = 1, scales: int = 1) -> Estimate:
    """An estimator of the smoothed gradient G = (1/m) sum_i grad J(x + xi_i) (paper equation 8).

    The noisy images are not clipped, and every step draws afresh. Make a new estimator for every attack: it counts the
    steps for its noise, from 0.

    Args:
        samples: m.
        noise: The samples' distribution, such as `noise.gaussian`.
        together: Number of samples that share a pass through the model, one batch of images behind the other.
        scales: Number of halvings of each sample, see `sample_gradients`.
    """
    steps = itertools.count()

    def estimate(loss: Loss, x: Tensor) -> Tensor:
        total = torch.zeros_like(x)
        for gradient in sample_gradients(loss, x, noise(next(steps), x), samples, together, scales):
            total += gradient
        return total / samples

    return estimate


def varied(samples: int, noise: Noise, together: int = 1, scales: int = 1) -> Estimate:
    """An estimator of the gradient tuned by its variance around the last step (VMI, arXiv 2103.15571, algorithm 1).

    It returns g_t + v_t, where g_t = grad J(x_t), v_0 = 0 and v_{t+1} = (1/n) sum_i grad J(x_t + r_i) - g_t. Arguments
    as in `smoothed`.
    """
    steps = itertools.count()
    variance: Tensor | None = None

    def estimate(loss: Loss, x: Tensor) -> Tensor:
        nonlocal variance
        gradient, neighbours = _gradient_and_neighbours(loss, x, noise(next(steps), x), samples, together, scales)
        tuned = gradient if variance is None else gradient + variance
        variance = neighbours - gradient
        return tuned

    return estimate


def relevant(samples: int, noise: Noise, together: int = 1, scales: int = 1) -> Estimate:
    """An estimator that mixes the gradient g with its neighbours' mean h by their cosine s (GRA, Zhu et al. 2023).

    It returns s g + (1 - s) h. A gradient of zeros has cosine 0 with every other. Arguments as in `smoothed`.
    """
    steps = itertools.count()

    def estimate(loss: Loss, x: Tensor) -> Tensor:
        gradient, neighbours = _gradient_and_neighbours(loss, x, noise(next(steps), x), samples, together, scales)
        similarity = _cosine(gradient, neighbours).view(-1, *[1] * (x.ndim - 1))
        return similarity * gradient + (1 - similarity) * neighbours

    return estimate


def _cosine(first: Tensor, second: Tensor) -> Tensor:
    """The cosine (N,) of two gradients (N,C,H,W) of each image, however small or large they are."""
    return (_unit(first) * _unit(second)).sum(1)


def _unit(gradient: Tensor) -> Tensor:
    """Scale each image's gradient (N,C,H,W) to a row of length 1, however small it is; zeros stay zeros."""
    flat, tiny = gradient.flatten(1), torch.finfo(gradient.dtype).tiny
    flat = flat / flat.abs().amax(1, keepdim=True).clamp_(min=tiny)
    unit: Tensor = flat / flat.norm(dim=1, keepdim=True).clamp_(min=tiny)
    return unit


def _gradient_and_neighbours(
    loss: Loss, x: Tensor, drawn: Iterator[Tensor], samples: int, together: int, scales: int
) -> tuple[Tensor, Tensor]:
    """The gradient at x, and the mean of the gradients at x + r for `samples` drawn r."""
    gradients = sample_gradients(loss, x, itertools.chain([torch.zeros_like(x)], drawn), samples + 1, together, scales)
    centre, total = next(gradients), torch.zeros_like(x)
    for gradient in gradients:
        total += gradient
    return centre, total / samples


def convolved(estimate: Estimate, side: int) -> Estimate:
    """An estimator whose gradient is convolved with a Gaussian kernel, channel by channel (TI, arXiv 1904.02884).

    The kernel has `side` x `side` values, an odd number; its ends lie three standard deviations from its middle, as in
    the authors' code, so that sigma is (side - 1) / 6 pixels. Beyond the image's edge the gradient is zero.
    """
    bell = torch.exp(-(torch.linspace(-3, 3, side, dtype=torch.float64) ** 2) / 2)
    kernel = torch.outer(bell, bell) / bell.sum() ** 2

    def convolve(loss: Loss, x: Tensor) -> Tensor:
        gradient = estimate(loss, x)
        channels = gradient.shape[1]
        kernels = kernel.to(gradient).expand(channels, 1, side, side)
        return torch.nn.functional.conv2d(gradient, kernels, padding=side // 2, groups=channels)

    return convolve


def sample_gradients(
    loss: Loss, x: Tensor, drawn: Iterator[Tensor], samples: int, together: int = 1, scales: int = 1
) -> Iterator[Tensor]:
    """Yield the gradients at x + sample for the first `samples` drawn, in order, each (N,C,H,W).

    With several scales, a sample's gradient is the mean over i < scales of the gradients of J(y / 2^i) by y, at
    y = x + sample (SI, arXiv 1908.06281; y in pixel values): `samples` x `scales` gradient evaluations, of which
    `together` share a pass.
    """
    if scales == 1:
        for gradient in gradients_by_pass(loss, x, drawn, samples, together):
            yield from gradient.split(len(x))
        return
    points = ((x + sample) / 2**i for sample in drawn for i in range(scales))
    batches = _batched(loss, points, samples * scales, together)
    gradients = itertools.chain.from_iterable(batch.split(len(x)) for batch in batches)
    for _ in range(samples):
        total = torch.zeros_like(x)
        for i in range(scales):
            total += next(gradients) / 2**i
        yield total / scales


def gradients_by_pass(loss: Loss, x: Tensor, drawn: Iterator[Tensor], samples: int, together: int) -> Iterator[Tensor]:
    """Yield the gradients at x + sample for the first `samples` drawn, pass by pass.

    Each pass is (kN,C,H,W), the gradients of k <= `together` samples one behind the other.
    """
    yield from _batched(loss, (x + sample for sample in drawn), samples, together)


def _batched(loss: Loss, points: Iterator[Tensor], count: int, together: int) -> Iterator[Tensor]:
    """Yield the gradients at the first `count` points, each (N,C,H,W), of which `together` share a pass (kN,C,H,W)."""
    for start in range(0, count, together):
        batch = list(itertools.islice(points, min(together, count - start)))
        yield plain(loss, batch[0] if len(batch) == 1 else torch.cat(batch))
