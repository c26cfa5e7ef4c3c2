"""JPEG compression by Pillow, colours subsampled 4:2:0; pixels are rounded before it."""

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

DEFENCE = {
    "low": 1,
    "high": 100,
    "unit": "quality",
    "words": "JPEG of quality {level:g}",
    "whole": True,
    "libraries": ("pillow",),
    "cite": "Dziugaite et al. 2016, arXiv 1608.00853",
}


def defend(image: Tensor, level: float, generator: torch.Generator) -> Tensor:
    """Encode an image (C,H,W), pixels 0..255, as JPEG of quality `level`, and decode it again."""
    pixels = image.round().clamp(0, 255).byte().permute(1, 2, 0).contiguous().numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if len(image) == 1 else pixels).save(
        buffer, "JPEG", quality=int(level), subsampling="4:2:0"
    )
    with Image.open(buffer) as decoded:
        values = torch.from_numpy(np.array(decoded)).float()
    return values[None] if len(image) == 1 else values.permute(2, 0, 1)
