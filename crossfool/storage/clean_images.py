"""Files of clean images, checked before use."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from crossfool.errors import UserError
from crossfool.storage.tensors import TensorFile

SIZES = {"mnist": (1, 28, 28), "cifar10": (3, 32, 32), "imagenet": (3, 224, 224)}  # of a family's images, (C,H,W)


def read_clean_images(path: str | Path) -> TensorFile:
    """A file of clean images, the data set's or the subset's, which is what it says it is.

    Raises:
        UserError: `images` are not (N,C,H,W) uint8 of their family's size; `labels` or the subset's `target_labels` not
            (N,) int64 of its classes, or its `index` not (N,) int64, rising; or the file is damaged.
    """
    file = TensorFile(path)
    for wrong in _wrong(file):
        raise UserError(f"{path}: {wrong}; delete it and run `dvc repro`")
    return file


def _wrong(file: TensorFile) -> Iterator[str]:
    images, family, classes = file["images"], file.metadata.get("family", ""), file.metadata.get("classes", "")
    if images.dtype != np.uint8 or images.ndim != 4 or 0 in images.shape:
        yield f"images are {images.dtype} of shape {images.shape}, expected uint8 (N, C, H, W)"
        return
    if images.shape[1:] != SIZES.get(family, images.shape[1:]):
        yield f"an image is {images.shape[1:]}, expected {SIZES[family]}, {family}'s"
    most = int(classes) if classes.isdecimal() and len(classes) < 5 else 2**31
    for name in ("labels", "target_labels", "index"):
        if name not in file and name != "labels":
            continue
        values = file[name]
        if values.dtype != np.int64 or values.shape != (len(images),):
            yield f"{name} are {values.dtype} of shape {values.shape}, expected int64 ({len(images)},), one an image"
        elif values.min() < 0 or (name != "index" and values.max() >= most):
            what = "ids" if name == "index" else "classes"
            yield f"{name} are {values.min()} to {values.max()}, which are not all {what}"
        elif name == "index" and (np.diff(values) <= 0).any():
            yield "ids of images do not rise"
