"""ImageNet's validation set."""

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from crossfool.datasets.preparation.dataset import Dataset, ImagesPath

if TYPE_CHECKING:
    from crossfool.datasets.preparation.split import Split
    from crossfool.datasets.reading.image_source import ImageSource


class Part(Dataset):
    """The 50,000 validation images of ILSVRC2012, 224 px.

    Attributes:
        path: The folder or tar file that holds the images: in class folders, or flat with the devkit beside it.
    """

    path: ImagesPath

    SOURCE = "your folder or tar; arXiv 1409.0575"
    LICENCE = "ImageNet's terms of access: research, no redistribution"
    IMAGES = 50_000

    def from_files(self, source: "ImageSource", training: bool) -> "tuple[Split, Split | None]":
        """Make a split of the whole validation set; no training images."""
        from crossfool.datasets.reading.imagenet_validation import validation_split

        return validation_split(source), None

    def refuse_unlikely_start(self, source: "ImageSource") -> None:
        """Check that an image lies in a class folder, or belongs to the flat set and the devkit is there."""
        from crossfool.datasets.reading.devkit import FLAT, devkit_place

        if not any(FLAT.fullmatch(PurePosixPath(name).name) for name in source.files.names()):
            source.refuse_no_class_folders(self.family)
        elif not source.has_class_folders(self.family):
            devkit_place(source.files.path)
