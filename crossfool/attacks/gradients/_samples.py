"""Gradients at noisy and at halved images, several to a pass through the model, for estimators that take their mean."""

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from crossfool.attacks.gradients import plain
from crossfool.attacks.loop import Loss


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


def mean(gradients: Iterator[Tensor], samples: int, x: Tensor) -> Tensor:
    """The mean of the gradients at `samples` samples, all that `gradients` yields, each shaped as the images x."""
    total = torch.zeros_like(x)
    for gradient in gradients:
        total += gradient
    return total / samples


def gradient_and_neighbours(
    loss: Loss, x: Tensor, drawn: Iterator[Tensor], samples: int, together: int, scales: int
) -> tuple[Tensor, Tensor]:
    """The gradient at x, and the mean of the gradients at x + r for `samples` drawn r."""
    gradients = sample_gradients(loss, x, itertools.chain([torch.zeros_like(x)], drawn), samples + 1, together, scales)
    return next(gradients), mean(gradients, samples, x)


def _batched(loss: Loss, points: Iterator[Tensor], count: int, together: int) -> Iterator[Tensor]:
    """Yield the gradients at the first `count` points, each (N,C,H,W), of which `together` share a pass (kN,C,H,W)."""
    for start in range(0, count, together):
        batch = list(itertools.islice(points, min(together, count - start)))
        yield plain.plain(loss, batch[0] if len(batch) == 1 else torch.cat(batch))
