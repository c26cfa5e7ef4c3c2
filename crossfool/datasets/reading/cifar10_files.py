"""CIFAR-10, from the folder that torchvision makes or by download."""

from pathlib import Path

import numpy as np

from crossfool.datasets.preparation.split import Split, set_names, split_of_arrays
from crossfool.errors import WRITE_OR_PERMISSION_ERRORS, UserError, brief
from crossfool.storage import wheels

CIFAR10_FOLDER = "cifar-10-batches-py"
CIFAR10_FILES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta")


def cifar10_root(path: Path) -> Path:
    """The folder around `cifar-10-batches-py`, whichever of the two the user gave."""
    return path.parent if path.name == CIFAR10_FOLDER else path


def refuse_incomplete_cifar10(folder: Path) -> None:
    """Check that all of torchvision's files are in a folder, and not empty.

    Raises:
        UserError: a file is missing or empty.
    """
    for name in CIFAR10_FILES:
        if not (folder / name).is_file() or not (folder / name).stat().st_size:
            reason = "is empty" if (folder / name).is_file() else "is missing"
            raise UserError(f"{folder}: files are missing or damaged ({name} {reason}); fetch them again")


def download_cifar10(training: bool) -> tuple[Split, Split | None]:
    """Download CIFAR-10 into the cache of downloads: the test images, and the training images where wanted.

    Raises:
        UserError: the download fails, or the cache cannot be written.
    """
    with wheels.naming_cache_variable():
        return cifar10_from_torchvision(wheels.cache_folder() / "cifar10", training, download=True)


def cifar10_from_torchvision(root: Path, training: bool, *, download: bool) -> tuple[Split, Split | None]:
    """Read torchvision's files (Python pickles), which torchvision unpickles only after their md5 matched.

    Args:
        root: The folder around `cifar-10-batches-py`.
        training: Whether the training images are wanted beside the test images.
        download: Download the files that are not there.

    Raises:
        UserError: files are missing or damaged, or cannot be downloaded.
    """
    from torchvision.datasets import CIFAR10 as Cifar10

    if download:
        root.mkdir(parents=True, exist_ok=True)
    try:
        sets = {name: Cifar10(str(root), train=name == "train", download=download) for name in set_names(training)}
    except (OSError, RuntimeError) as error:
        if download and isinstance(error, OSError) and error.errno in WRITE_OR_PERMISSION_ERRORS:
            raise
        if download:
            raise UserError(
                f"cifar10 cannot be downloaded from {Cifar10.url} ({brief(error)}); fetch it elsewhere "
                "and name the folder that holds cifar-10-batches-py in dataset: path"
            ) from None
        raise UserError(
            f"{root / 'cifar-10-batches-py'}: files are missing or damaged ({brief(error)}); fetch them again"
        ) from None
    splits = {
        name: split_of_arrays(part.data.transpose(0, 3, 1, 2), np.array(part.targets), name, "torchvision's files")
        for name, part in sets.items()
    }
    return splits["test"], splits.get("train")
