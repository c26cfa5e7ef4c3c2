"""CIFAR-10: from the folder that torchvision makes, or by download."""

from pathlib import Path

import numpy as np

from crossfool.datasets.split import Split, split_of_arrays
from crossfool.errors import DENIED, UserError
from crossfool.storage import downloads

CIFAR10_FOLDER = "cifar-10-batches-py"
CIFAR10_FILES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta")


# --- CIFAR-10 ------------------------------------------------------------------------------------------------------


def cifar10_root(path: Path) -> Path:
    """The folder in which CIFAR-10's own lies, if it does."""
    return path.parent if path.name == CIFAR10_FOLDER else path


def cifar10_is_complete(folder: Path) -> None:
    """Check that torchvision's files are all there, and not empty.

    Raises:
        UserError: one is not.
    """
    for name in CIFAR10_FILES:
        if not (folder / name).is_file() or not (folder / name).stat().st_size:
            what = "is empty" if (folder / name).is_file() else "is missing"
            raise UserError(f"{folder}: files are missing or damaged ({name} {what}); fetch them again")


def download_cifar10(training: bool) -> tuple[Split, Split | None]:
    with downloads.caching():
        return cifar10_from_torchvision(downloads.cache_folder() / "cifar10", training, download=True)


def cifar10_from_torchvision(root: Path, training: bool, *, download: bool) -> tuple[Split, Split | None]:
    """torchvision's files (Python pickles), which it reads only after their md5 matched."""
    from torchvision.datasets import CIFAR10 as Cifar10

    if download:
        root.mkdir(parents=True, exist_ok=True)
    try:
        sets = [
            Cifar10(str(root), train=train, download=download) for train in ((False, True) if training else (False,))
        ]
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:120]
        if download and isinstance(error, OSError) and error.errno in DENIED:
            raise
        if download:
            raise UserError(
                f"cifar10 cannot be downloaded from {Cifar10.url} ({reason}); fetch it elsewhere "
                "and name the folder that holds cifar-10-batches-py in dataset: path"
            ) from None
        raise UserError(
            f"{root / 'cifar-10-batches-py'}: files are missing or damaged ({reason}); fetch them again"
        ) from None
    splits = [
        split_of_arrays(one.data.transpose(0, 3, 1, 2), np.array(one.targets), name, "torchvision's files")
        for name, one in zip(("test", "train"), sets, strict=False)
    ]
    return splits[0], splits[1] if training else None
