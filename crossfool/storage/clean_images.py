"""Files of clean images, checked before use: the data set's images and the experiment's subset."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from crossfool.errors import UserError
from crossfool.storage.tensors import TensorFile

IMAGE_SHAPES = {
    "mnist": (1, 28, 28),
    "cifar10": (3, 32, 32),
    "imagenet": (3, 224, 224),
}  # family -> (C,H,W) of its images
# family -> sides in pixels that its images may have instead, square, where a data set keeps their size
OTHER_SIDES = {"imagenet": range(8, 513)}


def read_clean_images(path: str | Path) -> TensorFile:
    """Open a file of clean images, the data set's or the subset's, and check its tensors.

    Raises:
        UserError: `images` are not (N,C,H,W) uint8 of a size of their family; `labels`, or `target_labels` where they
            are there, not (N,) int64 of its classes, or the subset's `index` not (N,) int64, rising; or the file is
            damaged.
    """
    file = TensorFile(path)
    problem = next(_problems(file), None)
    if problem is not None:
        raise UserError(f"{path}: {problem}; delete it and run `dvc repro`")
    return file


def _fits(shape: tuple[int, ...], family: str) -> bool:
    """Whether images (C,H,W) are of a family's size, or of another that it may have; any are where it is unknown."""
    if shape == IMAGE_SHAPES.get(family, shape):
        return True
    channels, height, width = shape
    return channels == IMAGE_SHAPES[family][0] and height == width and height in OTHER_SIDES.get(family, ())


def _problems(file: TensorFile) -> Iterator[str]:
    """Messages on the tensors of a file of clean images that are not as expected."""
    images, family, classes = file["images"], file.metadata.get("family", ""), file.metadata.get("classes", "")
    if images.dtype != np.uint8 or images.ndim != 4 or 0 in images.shape:
        yield f"images are {images.dtype} of shape {images.shape}, expected uint8 (N, C, H, W)"
        return
    if not _fits(images.shape[1:], family):
        sides = OTHER_SIDES.get(family)
        other = f", or another side from {sides.start} to {sides.stop - 1}" if sides else ""
        yield f"an image is {images.shape[1:]}, expected {IMAGE_SHAPES[family]}, {family}'s{other}"
    class_count = int(classes) if classes.isdecimal() and len(classes) < 5 else 2**31
    for name in ("labels", "target_labels", "index"):
        if name not in file and name != "labels":
            continue
        values = file[name]
        if values.dtype != np.int64 or values.shape != (len(images),):
            yield f"{name} are {values.dtype} of shape {values.shape}, expected int64 ({len(images)},), one an image"
        elif values.min() < 0 or (name != "index" and values.max() >= class_count):
            expected = "ids" if name == "index" else "classes"
            yield f"{name} are {values.min()} to {values.max()}, which are not all {expected}"
        elif name == "index" and (np.diff(values) <= 0).any():
            yield "ids of images do not rise"
