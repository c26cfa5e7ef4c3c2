"""Rotation about the centre, bilinear; pixels from outside the image are black."""

from collections.abc import Sequence

from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import rotate

TRANSFORM = {
    "low": -360,
    "high": 360,
    "unit": "degrees",
    "meaning": "degrees counter-clockwise",
    "neutral": 0,
    "libraries": ("torchvision",),
    "cite": "section 7.4",
}


def transform(images: Tensor, level: float, ids: Sequence[int], seed: int) -> Tensor:
    """Rotate images (N,C,H,W) uint8 counter-clockwise by `level` degrees."""
    rotated: Tensor = rotate(images, level, interpolation=InterpolationMode.BILINEAR, fill=[0.0])
    return rotated
