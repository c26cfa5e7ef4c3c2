"""Input diversity: a loss of images that are made smaller and padded at random (DI, arXiv 1803.06978)."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from crossfool import seeds
from crossfool.attacks.loop import Loss


def diverse(loss: Loss, seed: int, ids: Sequence[int], probability: float, resize: float, copies: int) -> Loss:
    """A loss whose images are, each with this probability, resized and padded with zeros to their own side.

    Side and place are drawn for each image from (seed, image id, step, copy), uniformly: the side from the whole
    numbers of [resize S, S), S the image's own, by nearest neighbours as in the authors' code. There an image of 299
    grows to 330 and its sides are 0.9 to 1 of that, too; here it keeps its size. Make a new one for every attack: it
    counts copies.

    Args:
        loss: Of images (kN,C,H,W), k copies one behind the other.
        seed: The attack's.
        ids: The images' ids in the data set, (N,).
        probability: Of a change.
        resize: The smallest side, as a part of the whole.
        copies: Gradients a step, each of a copy of its own.
    """
    seen = 0

    def changed(x: Tensor) -> Tensor:
        nonlocal seen
        keys = [(seed, image, *divmod(seen + k, copies)) for k in range(len(x) // len(ids)) for image in ids]
        seen += len(x) // len(ids)
        parts = zip(x.split(1), keys, strict=True)
        return loss(
            torch.cat([_moved(one, resize, key) if _drawn(*key, 0) < probability else one for one, key in parts])
        )

    return changed


def _moved(image: Tensor, resize: float, key: Sequence[int]) -> Tensor:
    """An image (1,C,H,W) smaller, somewhere in a black frame of its own size."""
    part = _drawn(*key, 1)
    small = [_whole(part, max(1, int(side * resize)), side) for side in image.shape[2:]]
    top, left = (
        _whole(_drawn(*key, axis), 0, whole - side + 1)
        for axis, whole, side in zip((2, 3), image.shape[2:], small, strict=True)
    )
    height, width = image.shape[2:]
    frame = (left, width - left - small[1], top, height - top - small[0])
    return pad(interpolate(image, size=small, mode="nearest"), frame)


def _whole(part: float, low: int, high: int) -> int:
    """The whole number that lies so far from `low` to `high`, which is not reached; `low` where there is no other."""
    return low + int(part * max(1, high - low))


def _drawn(*key: int) -> float:
    """A number in [0, 1) with 53 random bits."""
    return (seeds.derived(*key) >> 10) / 2**53
