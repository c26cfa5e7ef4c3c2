"""Gaussian noise, with a majority vote of the draws: randomised smoothing, without its certificate."""

import torch
from torch import Tensor

DEFENCE = {
    "low": 1,
    "high": 255,
    "unit": "standard deviation in pixel values",
    "words": "Gaussian noise of σ = {level:g}",
    "in_pixel_values": True,
    "combine": "votes",
    "cite": "Cohen et al. 2019, arXiv 1902.02918",
}


def defend(image: Tensor, level: float, generator: torch.Generator) -> Tensor:
    """Add noise of standard deviation `level` to an image (C,H,W), pixels 0..255; nothing is clipped."""
    return image + level * torch.randn(image.shape, generator=generator)
