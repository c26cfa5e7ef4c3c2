"""A labelled part of a data set (train or test), streamed to disk without holding all its images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from crossfool.storage import clean_images

Append = Callable[[np.ndarray], None]


@dataclass(frozen=True)
class Shape:
    """Shape of a family's stored images, and the resizing of image files to it.

    Attributes:
        channels, side: Channels and side in pixels of the stored images.
        resize: Length in pixels that a file's shorter side is resized to before the centre crop; None: a file must be
            side x side.
    """

    channels: int
    side: int
    resize: int | None


RESIZED = {"imagenet": 256}
SHAPES = {
    name: Shape(channels, side, RESIZED.get(name)) for name, (channels, side, _) in clean_images.IMAGE_SHAPES.items()
}


@dataclass(frozen=True)
class Split:
    """Labelled images of a data set, not yet in memory.

    Attributes:
        labels: (N,) int64.
        files: N file names, "" for images that come from no file.
        write: Calls its argument with the next images, (n, C, H, W) uint8, until all N are through.
        split: validation, test, train or all, as the data set calls it.
        source: Origin of the images (a wheel, torchvision's files, a folder, a tar), the same on every machine.
        sha256: Hash of the file that all images come from, "" where there is no single one.
        note: Text on files that were passed over, "" where none were.
        target_labels: (N,) int64, the classes that a targeted attack is to aim at; None where the data set gives none.
    """

    labels: np.ndarray
    files: Sequence[str]
    write: Callable[[Append], None]
    split: str
    source: str
    sha256: str = ""
    note: str = ""
    target_labels: np.ndarray | None = None


def set_names(training: bool) -> tuple[str, ...]:
    """Names of the sets that are read where torchvision has two: the test set, and the training set where wanted."""
    return ("test", "train") if training else ("test",)


def split_of_arrays(pixels: np.ndarray, labels: np.ndarray, split: str, source: str, sha256: str = "") -> Split:
    """Make a split of images that are in memory: pixels (N,C,H,W) uint8, labels (N,)."""
    return Split(labels.astype(np.int64), [""] * len(labels), lambda write: write(pixels), split, source, sha256)
