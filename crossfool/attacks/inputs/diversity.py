"""Input diversity: a loss of images that are resized and padded at random (DI, arXiv 1803.06978)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from crossfool import seeds
from crossfool.attacks.part import InputPart
from crossfool.attacks.types import Context, Loss

if TYPE_CHECKING:
    from torch import Tensor


class Part(InputPart, random=True, cite="DI: Xie et al. 2019; arXiv 1803.06978"):
    """Images resized and padded at random before each gradient (DI).

    Summary: diverse inputs (p = {diversity:g}, sides from {resize:g})
    Rows:
        di: diverse inputs: {epsilon: 16, steps: 20, step_size: 0.8, update: momentum, decay: 1.0, diversity: 0.5}
    Formula:
        diversity: J takes each image with probability {diversity:g} resized to {resize:g} to 1 of its side and padded,
            afresh for each gradient

    Attributes:
        diversity: p, probability that an image is resized and padded before the gradient
        resize: the smallest side that it gets then, as a part of its own
    """

    diversity: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
    resize: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = 0.9

    def loss(self, loss: Loss, context: Context) -> Loss:
        return with_diversity(loss, context.seed, context.ids, self.diversity, self.resize, context.copies)


def with_diversity(loss: Loss, seed: int, ids: Sequence[int], probability: float, resize: float, copies: int) -> Loss:
    """A loss of images that are each resized, with a given probability, and padded with zeros to their first size.

    Side and position are drawn for each image from (seed, image id, step, copy), uniformly: the side from the whole
    numbers in [resize S, S), where S is the image's side, by nearest neighbours as in the authors' code. There an image
    of 299 grows to 330, and its sides are 0.9 to 1 of that; here it keeps its size. Make a new loss for every attack:
    it counts copies.

    Args:
        loss: A loss of images (kN,C,H,W), k copies one behind the other.
        seed: The attack's seed.
        ids: The images' ids in the data set, (N,).
        probability: Probability that an image is resized.
        resize: Smallest side of a resized image, as a part of its side.
        copies: Gradient evaluations an image and step, each at a copy of the image.
    """
    import torch

    evaluated = 0  # copies so far

    def diverse_loss(x: Tensor) -> Tensor:
        nonlocal evaluated
        keys = [(seed, image_id, *divmod(evaluated + k, copies)) for k in range(len(x) // len(ids)) for image_id in ids]
        evaluated += len(x) // len(ids)
        images = [
            _shrunk(image, resize, key) if _uniform(*key, 0) < probability else image
            for image, key in zip(x.split(1), keys, strict=True)
        ]
        return loss(torch.cat(images))

    return diverse_loss


def _shrunk(image: Tensor, resize: float, key: Sequence[int]) -> Tensor:
    """An image (1,C,H,W) made smaller, at a random position in a black frame of its first size."""
    from torch.nn.functional import interpolate, pad

    fraction = _uniform(*key, 1)
    small_height, small_width = (_between(fraction, max(1, int(side * resize)), side) for side in image.shape[2:])
    height, width = image.shape[2:]
    top = _between(_uniform(*key, 2), 0, height - small_height + 1)
    left = _between(_uniform(*key, 3), 0, width - small_width + 1)
    frame = (left, width - left - small_width, top, height - top - small_height)
    return pad(interpolate(image, size=[small_height, small_width], mode="nearest"), frame)


def _between(fraction: float, low: int, high: int) -> int:
    """The whole number at a fraction in [0, 1) of the way from `low` to `high`, below `high` unless that is `low`."""
    return low + int(fraction * max(1, high - low))


def _uniform(*key: int) -> float:
    """A uniform number in [0, 1) with 53 random bits, the same for the same key."""
    return (seeds.derive_seed(*key) >> 10) / 2**53
