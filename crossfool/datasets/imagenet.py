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
        path: The folder or tar file that holds the images: in class folders, or flat with their labels, which are the
            devkit, or Kaggle's `LOC_val_solution.csv` (in `path`, or up to four folders above it), or `table`.
        table: A CSV file with the columns `file` and `label` (0 to 999, or WordNet ids), in `path` or beside it, for
            images that lie flat.
    """

    path: ImagesPath
    table: str | None = None

    SOURCE = "your folder or tar; arXiv 1409.0575"
    LICENCE = "ImageNet's terms of access: research, no redistribution"
    IMAGES = 50_000

    @property
    def inner_paths(self) -> dict[str, str]:
        """The table, if it lies inside `path`."""
        return {} if self.table is None else {"table": self.table}

    def from_files(self, source: "ImageSource", training: bool) -> "tuple[Split, Split | None]":
        """Make a split of the whole validation set; no training images."""
        from crossfool.datasets.reading.imagenet_validation import validation_split

        return validation_split(source, self.table), None

    def refuse_unlikely_start(self, source: "ImageSource") -> None:
        """Check that an image lies in a class folder, or belongs to a flat set whose labels are there."""
        from crossfool.datasets.reading.devkit import FLAT
        from crossfool.datasets.reading.imagenet_validation import refuse_no_labels, refuse_numbered_folders

        names = source.files.names()
        refuse_numbered_folders(source.files, names)
        if self.table is None and not any(FLAT.fullmatch(PurePosixPath(name).name) for name in names):
            source.refuse_no_class_folders(self.family)
        elif self.table is None and not source.has_class_folders(self.family):
            refuse_no_labels(source.files)
