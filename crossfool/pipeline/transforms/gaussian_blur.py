"""Gaussian blur out to three standard deviations, or as far as a reflection at the border reaches."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

TRANSFORM = {
    "low": 0,
    "high": 100,
    "unit": "standard deviation in pixels",
    "neutral": 0,
    "libraries": ("torchvision",),
    "cite": "section 7.4; arXiv 1607.02533",
}


def transform(images: Tensor, level: float, ids: Sequence[int], seed: int) -> Tensor:
    """Blur images (N,C,H,W) uint8 by a Gaussian of standard deviation `level`, in pixels."""
    reach = [min(math.ceil(3 * level), side - 1) for side in (images.shape[3], images.shape[2])]  # across, down
    kernel = [2 * pixels + 1 for pixels in reach]
    # an image at a time: a convolution's rounding may depend on the size of the batch
    return torch.cat([gaussian_blur(image, kernel, [level, level]) for image in images.split(1)])
