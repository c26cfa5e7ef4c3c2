"""Gradients at noisy images and at views of them, several to a pass through the model, and their mean."""

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from crossfool.attacks import backward
from crossfool.attacks.types import Loss, Views


def sample_gradients(
    loss: Loss, x: Tensor, drawn: Iterator[Tensor], samples: int, together: int = 1, views: Views | None = None
) -> Iterator[Tensor]:
    """Yield the gradients at x + sample for the first `samples` drawn, in order, each (N,C,H,W).

    With views, a sample's gradient is the mean over them of the gradients of J(view(y)) by y, at y = x + sample:
    `samples` x `views.count` gradient evaluations, of which `together` share a pass.
    """
    if views is None:
        for gradient in gradients_by_pass(loss, x, drawn, samples, together):
            yield from gradient.split(len(x))
        return
    points = (views.view(x + sample, i) for sample in drawn for i in range(views.count))
    batches = _batched(loss, points, samples * views.count, together)
    gradients = itertools.chain.from_iterable(batch.split(len(x)) for batch in batches)
    for _ in range(samples):
        total = torch.zeros_like(x)
        for i in range(views.count):
            total += views.pull_back(next(gradients), i)
        yield total / views.count


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
    loss: Loss, x: Tensor, drawn: Iterator[Tensor], samples: int, together: int, views: Views | None
) -> tuple[Tensor, Tensor]:
    """The gradient at x, and the mean of the gradients at x + r for `samples` drawn r."""
    gradients = sample_gradients(loss, x, itertools.chain([torch.zeros_like(x)], drawn), samples + 1, together, views)
    return next(gradients), mean(gradients, samples, x)


def _batched(loss: Loss, points: Iterator[Tensor], count: int, together: int) -> Iterator[Tensor]:
    """Yield the gradients at the first `count` points, each (N,C,H,W), of which `together` share a pass (kN,C,H,W)."""
    for start in range(0, count, together):
        batch = list(itertools.islice(points, min(together, count - start)))
        yield backward.plain(loss, batch[0] if len(batch) == 1 else torch.cat(batch))
