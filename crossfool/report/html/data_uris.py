"""Data URIs of the page's files and pictures. Imports no torch.

Pictures lose nothing, and equal pixels give equal bytes (with one version of Pillow).
"""

import base64
import io
from urllib.parse import quote

import numpy as np
from PIL import Image

EFFORT, METHOD = 50, 2  # of libwebp: 1% more bytes than at most effort, in a third of the time
UNQUOTED = " !$()*+,-./:;=?@[]^_`{|}~"  # what may stand in a data URI in an attribute as it is


def webp(pixels: np.ndarray) -> bytes:
    """Encode pixels (C,H,W) uint8, C 1 or 3, as a lossless WebP, which suits noise and photographs."""
    assert pixels.dtype == np.uint8 and pixels.shape[0] in (1, 3), f"{pixels.dtype} {pixels.shape}"
    picture = Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", lossless=True, quality=EFFORT, method=METHOD)
    return buffer.getvalue()


def webp_base64(pixels: np.ndarray) -> str:
    """Encode pixels (C,H,W) uint8 as a lossless WebP in base64."""
    return base64.b64encode(webp(pixels)).decode()


def webp_uri(pixels: np.ndarray) -> str:
    """Write pixels (C,H,W) uint8 as the data URI of a lossless WebP."""
    return f"data:image/webp;base64,{webp_base64(pixels)}"


def file_uri(kind: str, data: bytes) -> str:
    """A file as a data URI: a text as it is, an SVG in base64 where that is shorter, any other file in base64.

    Args:
        kind: MIME type.
        data: The file's bytes.
    """
    packed = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    if not kind.startswith("text/") and kind != "image/svg+xml":
        return packed
    plain = f"data:{kind};charset=utf-8,{quote(data, safe=UNQUOTED)}"
    return packed if kind == "image/svg+xml" and len(packed) < len(plain) else plain
