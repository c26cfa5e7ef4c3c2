"""CIFAR-10."""

import contextlib
from typing import TYPE_CHECKING

from crossfool.datasets.preparation.dataset import Dataset, ImagesPath, Survey

if TYPE_CHECKING:
    from crossfool.datasets.preparation.split import Split
    from crossfool.datasets.reading.image_source import ImageSource


class Part(Dataset):
    """10,000 test images of ten classes, 32 px; 50,000 for training.

    Download: 170.5 MB, kept as cifar10/cifar-10-python.tar.gz

    Attributes:
        path: torchvision's files, or a folder or tar with `train/` and `test/` of class folders; without it,
            torchvision's download.
    """

    path: ImagesPath | None = None

    FAMILY = "cifar10"
    SOURCE = "torchvision's download, or your files"
    LICENCE = "none is stated; its page asks for a citation of Krizhevsky 2009"
    FETCHED_FROM = "torchvision's download"
    IMAGES = 10_000

    def splits(self, training: bool, stack: contextlib.ExitStack) -> "tuple[Split, Split | None]":
        """Read torchvision's files or class folders in `path`, else download torchvision's files."""
        from crossfool.datasets.reading import cifar10_files

        if self.path is None:
            return cifar10_files.download_cifar10(training)
        root = cifar10_files.cifar10_root(self.place())
        if (root / cifar10_files.CIFAR10_FOLDER).is_dir():
            return cifar10_files.cifar10_from_torchvision(root, training, download=False)
        return super().splits(training, stack)

    def survey(self, *, training: bool) -> Survey:
        """Look at the files in `path`; nothing is fetched."""
        from crossfool.datasets.reading import cifar10_files

        if self.path is None:
            return Survey(None)
        folder = cifar10_files.cifar10_root(self.place()) / cifar10_files.CIFAR10_FOLDER
        if not folder.is_dir():
            return super().survey(training=training)
        cifar10_files.refuse_incomplete_cifar10(folder)
        return Survey(None)

    def from_files(self, source: "ImageSource", training: bool) -> "tuple[Split, Split | None]":
        """Make splits of the class folders in `test/`, and in `train/` where wanted."""
        train = source.by_class("cifar10", "train", "train") if training else None
        return source.by_class("cifar10", "test", "test"), train
