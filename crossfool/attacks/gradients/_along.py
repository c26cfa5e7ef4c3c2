"""Points that lie along gradients: what `enhanced`, `maximin` and `penalised` share."""

from collections.abc import Sequence

import torch
from torch import Tensor

from crossfool.attacks.gradients._samples import sample_gradients
from crossfool.attacks.types import Loss, Views


def unit_mean(gradient: Tensor) -> Tensor:
    """Divide each image's gradient (N,C,H,W) by the mean of its absolute values; zeros stay zeros.

    As a distance it is one pixel value on average: n g / ||g||_1, where n is the image's number of values.
    """
    mean = gradient.abs().flatten(1).mean(1).clamp_(min=torch.finfo(gradient.dtype).tiny)
    return gradient / mean.view(-1, *[1] * (gradient.ndim - 1))


def gradients_at(loss: Loss, x: Tensor, offsets: Sequence[Tensor], together: int, views: Views | None) -> list[Tensor]:
    """The gradients at x + offset for each offset (N,C,H,W), in order; arguments as of `sample_gradients`."""
    return list(sample_gradients(loss, x, iter(offsets), len(offsets), together, views))
