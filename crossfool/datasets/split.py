"""A split of a data set: images in order, with labels and file names, before they are written down."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from crossfool.storage import clean_images

Write = Callable[[np.ndarray], None]


@dataclass(frozen=True)
class Shape:
    """How a family's images are stored, and how image files become so.

    Attributes:
        channels, side: Of the stored images.
        resize: What the shorter side of a file is resized to before the centre crop; None: must be side x side.
    """

    channels: int
    side: int
    resize: int | None


RESIZED = {"imagenet": 256}
SHAPES = {name: Shape(channels, side, RESIZED.get(name)) for name, (channels, side, _) in clean_images.SIZES.items()}


@dataclass(frozen=True)
class Split:
    """Labelled images that can be written out, not yet in memory.

    Attributes:
        labels: (N,) int64.
        files: Their N file names, "" where they come from no file.
        write: Calls its argument with the next images, (n, C, H, W) uint8, until all N are through.
        split: validation, test, train or all, as the data set calls it.
        source: What the images come from (a wheel, torchvision's files, a folder, a tar), the same on every machine.
        sha256: Of the one file that they come from, "" where there is no such file.
        note: On files that were passed over, "" where none were.
    """

    labels: np.ndarray
    files: Sequence[str]
    write: Callable[[Write], None]
    split: str
    source: str
    sha256: str = ""
    note: str = ""


def split_of_arrays(pixels: np.ndarray, labels: np.ndarray, split: str, source: str, sha256: str = "") -> Split:
    """A split that is in memory: pixels (N,C,H,W) uint8."""
    return Split(labels.astype(np.int64), [""] * len(labels), lambda write: write(pixels), split, source, sha256)
