"""Gradient estimators: plain, smoothed (paper equation 8), and those of later attacks; and the noise that they draw."""

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
        if any(word in str(error) for word in ("out of memory", "allocate memory", "CUDA error")):
            raise  # the machine's fault, not the network's
        raise Underivable(f"torch has no gradient of the network by its images ({brief(error)})") from error


class Underivable(UserError):
    """A network whose output torch cannot differentiate by its images: it may be a target, but no source."""


def smoothed(samples: int, noise: Noise, together: int = 1, scales: int = 1) -> Estimate:
    """An estimator of the smoothed gradient G = (1/m) sum_i grad J(x + xi_i) (paper equation 8).

    The noisy images are not clipped, and every step draws afresh. Make a new one for every attack: it
    counts the steps for its noise, from 0.

    Args:
        samples: m.
        noise: Where the samples come from (`gaussian`).
        together: How many samples go through the model in one pass, one batch of images behind the other.
        scales: Of each sample (`each`).
    """
    steps = itertools.count()

    def estimate(loss: Loss, x: Tensor) -> Tensor:
        total = torch.zeros_like(x)
        for gradient in each(loss, x, noise(next(steps), x), samples, together, scales):
            total += gradient
        return total / samples

    return estimate


def varied(samples: int, noise: Noise, together: int = 1, scales: int = 1) -> Estimate:
    """The gradient tuned by its variance around the step before (VMI, arXiv 2103.15571, algorithm 1).

    The gradient g_t = grad J(x_t) is returned as g_t + v_t, with v_0 = 0 and v_{t+1} = (1/n) sum_i grad J(x_t + r_i)
    - g_t. Arguments as `smoothed`.
    """
    steps = itertools.count()
    variance: Tensor | None = None

    def estimate(loss: Loss, x: Tensor) -> Tensor:
        nonlocal variance
        own, around = _around(loss, x, noise(next(steps), x), samples, together, scales)
        tuned = own if variance is None else own + variance
        variance = around - own
        return tuned

    return estimate


def relevant(samples: int, noise: Noise, together: int = 1, scales: int = 1) -> Estimate:
    """The gradient g mixed with its neighbours' mean h by their cosine s: s g + (1 - s) h (GRA, Zhu et al. 2023).

    A gradient of zeros has cosine 0 with every other. Arguments as `smoothed`.
    """
    steps = itertools.count()

    def estimate(loss: Loss, x: Tensor) -> Tensor:
        own, around = _around(loss, x, noise(next(steps), x), samples, together, scales)
        alike = _cosine(own, around).view(-1, *[1] * (x.ndim - 1))
        return alike * own + (1 - alike) * around

    return estimate


def _cosine(first: Tensor, second: Tensor) -> Tensor:
    """Of each image's gradients (N,C,H,W), whatever their length; (N,)."""
    return (_unit(first) * _unit(second)).sum(1)


def _unit(gradient: Tensor) -> Tensor:
    """Each image's gradient (N,C,H,W) as a row of length 1, however small it is; zeros stay zeros."""
    flat, tiny = gradient.flatten(1), torch.finfo(gradient.dtype).tiny
    flat = flat / flat.abs().amax(1, keepdim=True).clamp_(min=tiny)
    result: Tensor = flat / flat.norm(dim=1, keepdim=True).clamp_(min=tiny)
    return result


def _around(
    loss: Loss, x: Tensor, drawn: Iterator[Tensor], samples: int, together: int, scales: int
) -> tuple[Tensor, Tensor]:
    """The gradient at x, and the mean of those at x + each of so many samples."""
    found = each(loss, x, itertools.chain([torch.zeros_like(x)], drawn), samples + 1, together, scales)
    own, total = next(found), torch.zeros_like(x)
    for gradient in found:
        total += gradient
    return own, total / samples


def convolved(estimate: Estimate, side: int) -> Estimate:
    """An estimate convolved with a Gaussian kernel, channel by channel (TI, arXiv 1904.02884).

    The kernel has `side` x `side` values, an odd number; its ends lie three standard deviations from its middle, as in
    the authors' code, so that sigma is (side - 1) / 6 pixels. Beyond the image's edge the gradient is zero.
    """
    bell = torch.exp(-(torch.linspace(-3, 3, side, dtype=torch.float64) ** 2) / 2)
    kernel = torch.outer(bell, bell) / bell.sum() ** 2

    def smeared(loss: Loss, x: Tensor) -> Tensor:
        gradient = estimate(loss, x)
        own = kernel.to(gradient).expand(gradient.shape[1], 1, side, side)
        return torch.nn.functional.conv2d(gradient, own, padding=side // 2, groups=gradient.shape[1])

    return smeared


def each(
    loss: Loss, x: Tensor, drawn: Iterator[Tensor], samples: int, together: int = 1, scales: int = 1
) -> Iterator[Tensor]:
    """The gradient at x + each of so many samples, in order, each (N,C,H,W).

    With several scales it is the mean of those of J(y / 2^i) by y, i < scales, at y = x + sample (SI, arXiv
    1908.06281; y in pixel values): `samples` x `scales` evaluations, of which `together` share a pass.
    """
    if scales == 1:
        for gradient in passes(loss, x, drawn, samples, together):
            yield from gradient.split(len(x))
        return
    points = ((x + sample) / 2**i for sample in drawn for i in range(scales))
    stacked = _stacked(loss, points, samples * scales, together)
    parts = itertools.chain.from_iterable(gradient.split(len(x)) for gradient in stacked)
    for _ in range(samples):
        total = torch.zeros_like(x)
        for i in range(scales):
            total += next(parts) / 2**i
        yield total / scales


def passes(loss: Loss, x: Tensor, drawn: Iterator[Tensor], samples: int, together: int) -> Iterator[Tensor]:
    """The gradients at x + each of so many samples, pass by pass: (kN,C,H,W) of k <= `together` samples."""
    yield from _stacked(loss, (x + sample for sample in drawn), samples, together)


def _stacked(loss: Loss, points: Iterator[Tensor], count: int, together: int) -> Iterator[Tensor]:
    """The gradients at so many points, each (N,C,H,W), of which `together` share a pass; (kN,C,H,W) a pass."""
    for start in range(0, count, together):
        some = list(itertools.islice(points, min(together, count - start)))
        yield plain(loss, some[0] if len(some) == 1 else torch.cat(some))
