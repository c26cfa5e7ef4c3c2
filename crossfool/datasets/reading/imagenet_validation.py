"""ImageNet's validation set, in class folders or flat with its labels beside it."""

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

from crossfool.datasets.preparation.class_names import class_folders
from crossfool.datasets.preparation.split import SHAPES, Split
from crossfool.datasets.reading import devkit
from crossfool.datasets.reading.image_names import passed_over_note
from crossfool.datasets.reading.image_source import ImageSource
from crossfool.errors import UserError


def validation_split(source: ImageSource) -> Split:
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
        return source.split(SHAPES["imagenet"], names, devkit.validation_labels(files, names), "validation")
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
    return source.split(SHAPES["imagenet"], names, [labels[name] for name in names], "validation")


def _by_file_name(paths: Sequence[str]) -> list[str]:
    """Paths in the order of their last parts, so that an image has one id whatever folder it lies in."""
    return sorted(paths, key=lambda path: (PurePosixPath(path).name, path))
