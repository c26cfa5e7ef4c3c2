"""Median filter over a square of k × k pixels of each channel; the image is mirrored at its border.

Of an even number of pixels the median is the greater of the middle two.
"""

import torch
from scipy import ndimage
from torch import Tensor

DEFENCE = {
    "low": 2,
    "high": 15,
    "unit": "side of the square in pixels",
    "words": "median filter of {level:g} × {level:g} pixels",
    "whole": True,
    "libraries": ("scipy",),
    "cite": "Xu et al. 2018, arXiv 1704.01155",
}


def defend(image: Tensor, level: float, generator: torch.Generator) -> Tensor:
    """Filter an image (C,H,W), pixels 0..255."""
    return torch.from_numpy(ndimage.median_filter(image.numpy(), size=(1, int(level), int(level)), mode="reflect"))
