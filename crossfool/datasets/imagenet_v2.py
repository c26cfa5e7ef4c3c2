"""ImageNet-V2, whose class folders are numbers."""

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, ClassVar

from crossfool.datasets.preparation.dataset import Dataset, ImagesPath
from crossfool.errors import UserError

if TYPE_CHECKING:
    from crossfool.datasets.preparation.split import Split
    from crossfool.datasets.reading.image_files import ImageFiles
    from crossfool.datasets.reading.image_source import ImageSource


class Part(Dataset):
    """10,000 images of ImageNet-V2, collected anew for ImageNet's classes, 224 px.

    Attributes:
        path: The folder or tar file of one of its three sets: class folders `0` to `999` of 10 images each.
    """

    path: ImagesPath

    SOURCE = "your folder or tar: imagenetv2-matched-frequency, threshold0.7 or top-images; arXiv 1902.10811"
    LICENCE = "its repository is under the MIT licence; whose the photographs are it does not say"
    EACH: ClassVar[int] = 10  # images a class
    IMAGES = 10_000

    def from_files(self, source: "ImageSource", training: bool) -> "tuple[Split, Split | None]":
        """Make a split of all images, by the number of the class and then by name; no training images."""
        files = source.files
        found = files.names()
        labels = dict(zip(found, numbered_labels(files, found), strict=True))
        counts = Counter(labels.values())
        for label in range(1000):
            if counts[label] != self.EACH:
                raise UserError(
                    f"{files.path}: the class folder {label} holds {counts[label]} images, expected {self.EACH} "
                    "in each of 0 to 999, as in one of ImageNet-V2's sets"
                )
        names = sorted(labels, key=lambda name: (labels[name], name))
        return source.split(self.shape, names, [labels[name] for name in names], "all"), None

    def refuse_unlikely_start(self, source: "ImageSource") -> None:
        """Check that the images at a large tar's start lie in numbered folders."""
        numbered_labels(source.files, source.files.names())


def numbered_labels(files: "ImageFiles", names: Sequence[str]) -> list[int]:
    """Labels of images, the numbers that the folders around them are called.

    Raises:
        UserError: an image lies in a folder of another name.
    """
    labels = {str(label): label for label in range(1000)}
    for name in names:
        folder = PurePosixPath(name).parent.name
        if folder not in labels:
            found = f"the folder {folder!r}" if folder else "no folder"
            raise UserError(
                f"{files.where(name)} lies in {found}, expected ImageNet-V2's class folders, 0 to 999; for folders "
                "called by WordNet ids take the data set imagefolder"
            )
    return [labels[PurePosixPath(name).parent.name] for name in names]
