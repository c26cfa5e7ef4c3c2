"""ImageNet's validation set, and the 20 labelled photographs that foolbox brings."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from crossfool.datasets import decoding, devkit
from crossfool.datasets.class_names import class_folders
from crossfool.datasets.devkit import validation_labels
from crossfool.datasets.image_folder import ImageSource
from crossfool.datasets.image_names import passed_over_note
from crossfool.datasets.split import SHAPES, Append, Split
from crossfool.errors import UserError
from crossfool.storage import wheels

FOOLBOX_WHEEL = ("foolbox==3.3.4", "11049d515d38e765e206a73ace9cc648b81a0d6d1da9ad9057e149ee117989cb")


def imagenet_sample(training: bool) -> tuple[Split, Split | None]:
    """Fetch the 20 photographs that come with foolbox, each with its label in its name; no training images."""
    wheel = wheels.fetch_wheel(*FOOLBOX_WHEEL)
    pattern = re.compile(r"foolbox/data/(imagenet_\d+_(\d+)\.jpg)")
    matches = [match for name in wheels.member_names(wheel) if (match := pattern.fullmatch(name))]
    shape = SHAPES["imagenet"]

    def write(append: Append) -> None:
        for match in matches:
            data = wheels.read_member(wheel, match[0])
            append(decoding.decode(data, f"{wheel}: {match[0]}", resize=shape.resize, side=shape.side)[None])

    labels = np.array([int(match[2]) for match in matches], np.int64)
    return Split(labels, [match[1] for match in matches], write, "sample", *FOOLBOX_WHEEL), None


def imagenet(source: ImageSource) -> Split:
    """Make a split of the whole ILSVRC2012 validation set, in class folders or flat beside its devkit.

    Raises:
        UserError: images are missing, or lie in folders of other classes.
    """
    files = source.files
    names = _by_file_name(files.names())
    if len(names) != devkit.IMAGENET_IMAGES:
        note = passed_over_note(files.passed_over())
        raise UserError(
            f"{files.path} holds {len(names)} images, expected the {devkit.IMAGENET_IMAGES} of ImageNet's "
            f"validation set; for a part of it take the data set imagefolder{'; ' if note else ''}{note}"
        )
    ids = set(class_folders("imagenet"))
    if not any(PurePosixPath(name).parent.name in ids for name in names):
        return source.split("imagenet", names, validation_labels(files, names), "validation")
    split = source.by_class("imagenet", None, "validation")
    each = devkit.IMAGENET_IMAGES // 1000
    counts = Counter(split.labels.tolist())
    for label, folder in enumerate(class_folders("imagenet")):
        if counts[label] != each:
            raise UserError(
                f"{files.path}: the class folder {folder} holds {counts[label]} images, expected {each} as in "
                "ImageNet's validation set; for other images take the data set imagefolder"
            )
    labels = dict(zip(split.files, split.labels.tolist(), strict=True))
    return source.split("imagenet", names, [labels[name] for name in names], "validation")


def _by_file_name(paths: Sequence[str]) -> list[str]:
    """Paths in the order of their last parts, so that an image has one id whatever folder it lies in."""
    return sorted(paths, key=lambda path: (PurePosixPath(path).name, path))
