"""Digits in image files whose names begin with the digit."""

from typing import TYPE_CHECKING

from crossfool.datasets.preparation.dataset import Dataset, ImagesPath
from crossfool.errors import UserError

if TYPE_CHECKING:
    from crossfool.datasets.preparation.split import Split
    from crossfool.datasets.reading.image_source import ImageSource


class Part(Dataset):
    """Digits, 28 px, in image files whose names begin with the digit, such as 7-0012.png.

    Attributes:
        path: The folder or tar file that holds the folders `test` and, where a model is trained, `train`.
    """

    path: ImagesPath

    FAMILY = "mnist"
    SOURCE = "your images"
    LICENCE = "yours to know"

    def from_files(self, source: "ImageSource", training: bool) -> "tuple[Split, Split | None]":
        """Make a split of the images in `test`, and one of those in `train` where wanted."""
        return self._split(source, "test"), self._split(source, "train") if training else None

    def _split(self, source: "ImageSource", folder: str) -> "Split":
        names = source.files.names(folder)
        if not names:
            raise UserError(f"{source.files.where(folder)} holds no images; expected names such as {folder}/7-0012.png")
        labels = [name.rpartition("/")[2][0] for name in names]
        for name, label in zip(names, labels, strict=True):
            if label not in "0123456789":
                raise UserError(
                    f"{source.files.where(name)}: the name begins with {label!r}, expected a digit; rename it"
                )
        return source.split(self.shape, names, [int(label) for label in labels], folder, folder)
