"""Contrast about the middle grey, rounded and clipped to 0..255."""

from collections.abc import Sequence

from torch import Tensor

TRANSFORM = {
    "low": 0,
    "high": 10,
    "unit": "factor",
    "meaning": "factor of the distance from 128",
    "neutral": 1,
    "cite": "arXiv 1607.02533, section 3.3",
}


def transform(images: Tensor, level: float, ids: Sequence[int], seed: int) -> Tensor:
    """Multiply the distance of each pixel of images (N,C,H,W) uint8 from 128 by `level`."""
    stretched = 128 + level * (images.float() - 128)
    return stretched.round_().clamp_(0, 255).byte()
