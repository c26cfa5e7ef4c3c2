"""JPEG compression by Pillow, colours subsampled 4:2:0, as JPEG encoders do by default."""

import io
from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from crossfool.errors import UserError

TRANSFORM = {
    "low": 1,
    "high": 100,
    "unit": "quality",
    "whole": True,
    "libraries": ("pillow",),
    "cite": "section 7.4; arXiv 1607.02533",
}


def transform(images: Tensor, level: float, ids: Sequence[int], seed: int) -> Tensor:
    """Encode images (N,C,H,W) uint8 as JPEG of quality `level` and decode them again.

    Raises:
        UserError: the images have neither one channel nor three.
    """
    channels = images.shape[1]
    if channels not in (1, 3):
        raise UserError(f"jpeg: images have {channels} channels, expected 1 (grey) or 3 (red, green, blue)")
    compressed = torch.empty_like(images, device="cpu")
    for image, out in zip(images.cpu(), compressed, strict=True):
        pixels = image[0] if channels == 1 else image.permute(1, 2, 0)
        buffer = io.BytesIO()
        Image.fromarray(pixels.contiguous().numpy()).save(buffer, "JPEG", quality=int(level), subsampling="4:2:0")
        with Image.open(io.BytesIO(buffer.getvalue())) as decoded:
            values = torch.frombuffer(bytearray(decoded.tobytes()), dtype=torch.uint8)
        out.copy_(values.view(*pixels.shape) if channels == 1 else values.view(*pixels.shape).permute(2, 0, 1))
    return compressed.to(images.device)
