"""Data URIs of the page's files, and PNG files of its pixels. Imports no torch.

Equal pixels give equal bytes, and nothing is lost.
"""

import base64
import struct
import zlib
from urllib.parse import quote

import numpy as np

UNQUOTED = " !$()*+,-./:;=?@[]^_`{|}~"  # what may stand in a data URI in an attribute as it is


def png(pixels: np.ndarray) -> bytes:
    """Encode pixels (C,H,W) uint8, C 1 or 3, as a PNG.

    Rows are stored as they are, which suits noise, or as differences from Paeth's prediction, which suits
    photographs: whichever takes less.
    """
    channels, height, width = pixels.shape
    assert pixels.dtype == np.uint8 and channels in (1, 3), f"{pixels.dtype} {pixels.shape}"
    rows = pixels.transpose(1, 2, 0).reshape(height, width * channels)
    plain, predicted = _filtered(rows, 0), _filtered(_paeth(rows, channels), 4)
    encodings = ((plain, zlib.Z_DEFAULT_STRATEGY), (plain, zlib.Z_HUFFMAN_ONLY), (predicted, zlib.Z_HUFFMAN_ONLY))
    data = min((_deflated(*encoding) for encoding in encodings), key=len)
    head = struct.pack(">IIBBBBB", width, height, 8, {1: 0, 3: 2}[channels], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _filtered(rows: np.ndarray, kind: int) -> bytes:
    """The rows, each behind the number of its filter (0 none, 4 Paeth)."""
    return np.insert(rows, 0, kind, axis=1).tobytes()


def _paeth(rows: np.ndarray, channels: int) -> np.ndarray:
    """Rows filtered by Paeth's prediction.

    From each byte is subtracted the one of its left, upper and upper left neighbours that is nearest to
    left + above - upper left.
    """
    padded = np.pad(rows.astype(np.int16), ((1, 0), (channels, 0)))
    left, above, corner = padded[1:, :-channels], padded[:-1, channels:], padded[:-1, :-channels]
    far = [np.abs(above - corner), np.abs(left - corner), np.abs(left + above - 2 * corner)]
    nearest = np.where((far[0] <= far[1]) & (far[0] <= far[2]), left, np.where(far[1] <= far[2], above, corner))
    return (rows - nearest).astype(np.uint8)


def _deflated(data: bytes, strategy: int) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, 15, 9, strategy)
    return packer.compress(data) + packer.flush()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_uri(pixels: np.ndarray) -> str:
    """Pixels (C,H,W) uint8 as the data URI of a PNG."""
    return f"data:image/png;base64,{base64.b64encode(png(pixels)).decode()}"


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
