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


def read_clean_images(path: str | Path) -> TensorFile:
    """Open a file of clean images, the data set's or the subset's, and check its tensors.

    Raises:
        UserError: `images` are not (N,C,H,W) uint8 of their family's size; `labels` or the subset's `target_labels` not
            (N,) int64 of its classes, or its `index` not (N,) int64, rising; or the file is damaged.
    """
    file = TensorFile(path)
    problem = next(_problems(file), None)
    if problem is not None:
        raise UserError(f"{path}: {problem}; delete it and run `dvc repro`")
    return file


def _problems(file: TensorFile) -> Iterator[str]:
    """Messages on the tensors of a file of clean images that are not as expected."""
    images, family, classes = file["images"], file.metadata.get("family", ""), file.metadata.get("classes", "")
    if images.dtype != np.uint8 or images.ndim != 4 or 0 in images.shape:
        yield f"images are {images.dtype} of shape {images.shape}, expected uint8 (N, C, H, W)"
        return
    if images.shape[1:] != IMAGE_SHAPES.get(family, images.shape[1:]):
        yield f"an image is {images.shape[1:]}, expected {IMAGE_SHAPES[family]}, {family}'s"
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
