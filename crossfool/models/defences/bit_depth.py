"""Reduced bit depth: each pixel moves to the nearest of 2^b values, which are equally spaced from 0 to 255."""

import torch
from torch import Tensor

DEFENCE = {
    "low": 1,
    "high": 7,
    "unit": "number of bits",
    "words": "depth of {level:g} bits",
    "whole": True,
    "cite": "Xu et al. 2018, arXiv 1704.01155",
}


def defend(image: Tensor, level: float, generator: torch.Generator) -> Tensor:
    """Reduce an image (C,H,W), pixels 0..255, to `level` bits a channel."""
    steps = 2 ** int(level) - 1
    reduced: Tensor = (image * (steps / 255)).round() * (255 / steps)
    return reduced
