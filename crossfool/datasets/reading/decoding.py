"""Decoding of image files to uint8 arrays, on all cores, streamed in order.

The arithmetic is torchvision's on PIL images: Resize(256), then CenterCrop(224). Imports no torch.
"""

import io
import multiprocessing
import os
import signal
import sys
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from crossfool.datasets.reading.image_files import ImageFiles
from crossfool.errors import UserError, brief
from crossfool.runtime import end_with_parent, missing_semaphores_reason

FORMATS = ("JPEG", "PNG", "BMP", "WEBP")  # no others are tried: some of Pillow's readers start other programs
FEW = 64  # up to so many images, starting processes takes longer than decoding


def decode(data: bytes, name: str, *, resize: int | None, side: int, channels: int = 3) -> np.ndarray:
    """Decode an image file to pixels.

    The EXIF orientation is applied; transparency is dropped; of 16-bit values the upper byte counts; of an
    animation the first frame.

    Args:
        data: The file's bytes.
        name: The file's name, for errors.
        resize: Length in pixels that the shorter side is resized to (bilinear, antialiased) before the centre crop;
            None where the image must be side x side already.
        side: Side of the result in pixels; at most `resize`.
        channels: 3 (RGB) or 1 (grey).

    Returns:
        (channels, side, side) uint8.

    Raises:
        UserError: the file is empty, truncated, no image, far too large, or of another size where `resize` is None.
    """
    if not data:
        raise UserError(f"{name} is empty (0 bytes); replace it or remove it")
    try:
        # A reader's warnings (odd EXIF, palettes) are not the user's business, but a decompression bomb is refused.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            stored = Image.open(io.BytesIO(data), formats=FORMATS)
            stored.load()
            image = _eight_bit(_upright(stored), "RGB" if channels == 3 else "L")
    except UnidentifiedImageError:
        raise UserError(f"{name} is no JPEG, PNG, BMP or WebP image; replace it or remove it") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise UserError(
            f"{name} has more than {Image.MAX_IMAGE_PIXELS} pixels (a decompression bomb?); shrink it or remove it"
        ) from None
    except Exception as error:  # damaged bytes make Pillow raise many kinds
        raise UserError(f"{name} cannot be decoded ({brief(error)}); replace it or remove it") from None
    if resize is not None:
        image = _resized(image, name, resize)
    elif image.size != (side, side):
        width, height = image.size
        raise UserError(f"{name} is {width}x{height} pixels, expected {side}x{side}; resize it or remove it")
    width, height = image.size
    left, top = round((width - side) / 2.0), round((height - side) / 2.0)
    pixels = np.asarray(image.crop((left, top, left + side, top + side)))
    return np.ascontiguousarray(pixels.transpose(2, 0, 1) if channels == 3 else pixels[None])


def _upright(image: Image.Image) -> Image.Image:
    """Turn an image as its EXIF orientation says; unchanged where the EXIF data cannot be read."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # Pillow raises many kinds; the pixels are whole
        return image


def _eight_bit(image: Image.Image, mode: str) -> Image.Image:
    """Convert an image to RGB or L; Pillow's own conversion would clip 16-bit grey at 255."""
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64).clip(0, 65535) >> 8
        image = Image.fromarray(values.astype(np.uint8))
    return image.convert(mode)


def _resized(image: Image.Image, name: str, resize: int) -> Image.Image:
    """Resize an image so that its shorter side has `resize` pixels.

    Raises:
        UserError: the image is so narrow that the longer side would be huge.
    """
    width, height = image.size
    short, long = min(width, height), max(width, height)
    longer = int(resize * long / short)
    if Image.MAX_IMAGE_PIXELS and resize * longer > Image.MAX_IMAGE_PIXELS:
        raise UserError(f"{name} is {width}x{height} pixels, too narrow to be resized to {resize}; crop or remove it")
    size = (resize, longer) if width <= height else (longer, resize)
    return image if size == image.size else image.resize(size, Image.Resampling.BILINEAR)


def decode_many(
    files: ImageFiles,
    names: Sequence[str],
    resize: int | None,
    side: int,
    write: Callable[[np.ndarray], None],
    *,
    channels: int = 3,
    processes: int | None = None,
) -> None:
    """Decode images on all cores, in order, with a progress bar; only a few batches are in memory at a time.

    Args:
        files: The folder or tar with the images.
        names: The images, in the order wanted.
        resize: As in `decode`.
        side: As in `decode`.
        channels: As in `decode`.
        write: Called with the next images, (n, channels, side, side) uint8, again and again.
        processes: Number of processes; None for one a core. The result does not depend on it.

    Raises:
        UserError: as `decode` does, for the first image in order that is bad.
    """
    from tqdm import tqdm

    batch = max(1, min(256, (1 << 21) // (channels * side * side)))  # images of about 2 MB
    batches = [list(names[start : start + batch]) for start in range(0, len(names), batch)]
    if processes is None:
        processes = (
            1 if len(names) < FEW else len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
        )
    assert processes
    if processes > 1 and (lacking := missing_semaphores_reason()):
        print(f"decoding in one process: {lacking}", file=sys.stderr)
        processes = 1
    with tqdm(total=len(names), desc="decoding", unit=" images", unit_scale=False, file=sys.stderr) as bar:

        def take(images: np.ndarray) -> None:
            write(images)
            bar.update(len(images))

        decoder = _Decoder(files, resize, side, channels)
        if processes == 1:
            for batch_names in batches:
                take(decoder.decode(batch_names))
        else:
            _in_processes(decoder, batches, min(processes, len(batches)), take)


@dataclass(frozen=True)
class _Decoder:
    """Arguments of `decode`, sent to every process that decodes."""

    files: ImageFiles
    resize: int | None
    side: int
    channels: int

    def decode(self, names: Sequence[str]) -> np.ndarray:
        """Decode images by name: (n, channels, side, side) uint8."""
        images = np.empty((len(names), self.channels, self.side, self.side), np.uint8)
        for image, name in zip(images, names, strict=True):
            data = self.files.read(name)
            image[:] = decode(data, self.files.where(name), resize=self.resize, side=self.side, channels=self.channels)
        return images


def _in_processes(
    decoder: _Decoder, batches: list[list[str]], processes: int, take: Callable[[np.ndarray], None]
) -> None:
    """Decode batches in worker processes; `take` gets them in order, and no more than a few wait at a time."""
    context = multiprocessing.get_context("spawn")  # safe whatever threads the caller has
    pool = ProcessPoolExecutor(processes, context, _start_worker, (decoder,))
    waiting: deque[Future[np.ndarray]] = deque()
    try:
        for names in batches:
            waiting.append(pool.submit(_decode_batch, names))
            if len(waiting) > 4 * processes:
                take(waiting.popleft().result())
        while waiting:
            take(waiting.popleft().result())
    except BrokenProcessPool:
        raise UserError("a process that decodes images died (out of memory?); free memory and run again") from None
    finally:
        pool.shutdown(cancel_futures=True)


_decoder: _Decoder | None = None  # a worker's only state, set once at its start


def _start_worker(decoder: _Decoder) -> None:
    """Prepare a worker process."""
    global _decoder
    _decoder = decoder
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    end_with_parent()


def _decode_batch(names: list[str]) -> np.ndarray:
    """Decode a batch in a worker process."""
    assert _decoder is not None
    return _decoder.decode(names)
