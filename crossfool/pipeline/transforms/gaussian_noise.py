"""White Gaussian noise, rounded and clipped to 0..255."""

from collections.abc import Sequence

import torch
from torch import Tensor

from crossfool import seeds

TRANSFORM = {
    "low": 0,
    "high": 255,
    "unit": "standard deviation in pixel values",
    "in_pixel_values": True,
    "neutral": 0,
    "cite": "section 7.4; arXiv 1607.02533",
}


def transform(images: Tensor, level: float, ids: Sequence[int], seed: int) -> Tensor:
    """Add noise of standard deviation `level`, in pixel values, to images (N,C,H,W) uint8; drawn by (seed, id)."""
    noisy = images.float()
    for id, image in zip(ids, noisy, strict=True):
        # drawn on the CPU, so that every device adds the same
        generator = torch.Generator().manual_seed(seeds.derive_seed(seed, id))
        image += (level * torch.randn(image.shape, generator=generator)).to(image.device)
    return noisy.round_().clamp_(0, 255).byte()
