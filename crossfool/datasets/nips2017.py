"""The images of the NIPS 2017 competition on adversarial attacks, with their target labels."""

from typing import TYPE_CHECKING

from crossfool.datasets.preparation.dataset import Dataset, ImagesPath
from crossfool.errors import UserError

if TYPE_CHECKING:
    from crossfool.datasets.preparation.split import Shape, Split
    from crossfool.datasets.reading.image_source import ImageSource

# Names of the columns of files, labels and target labels, and the number of the first class, in either form of table
IMAGES_CSV = ("ImageId", "TrueLabel", "TargetClass", 1)
LABELS_CSV = ("filename", "label", "targeted_label", 0)  # as TransferAttack has it


class Part(Dataset):
    """1,000 images of the NIPS 2017 competition on adversarial attacks, 299 px, each with a target label.

    Attributes:
        path: The folder or tar file with the PNG files and `images.csv` (ImageId, TrueLabel and TargetClass, 1 to
            1000), or TransferAttack's `labels.csv` (filename, label and targeted_label, 0 to 999).
    """

    path: ImagesPath

    SOURCE = "your folder or tar: Kaggle's NIPS 2017 development set, or TransferAttack's data; arXiv 1804.00097"
    LICENCE = "CC BY 2.0, says images.csv, which names each author"
    IMAGES = 1000

    @property
    def shape(self) -> "Shape":
        """299 x 299, as the files are; models resize inside."""
        from crossfool.datasets.preparation.split import Shape

        return Shape(3, 299, None)

    def refuse_given_targets(self) -> None:
        """Accept: each image has a target label."""

    def from_files(self, source: "ImageSource", training: bool) -> "tuple[Split, Split | None]":
        """Make a split of the images by name, whichever the table is; no training images."""
        from crossfool.datasets.reading.label_table import Column
        from crossfool.datasets.reading.table_files import find_table
        from crossfool.datasets.reading.table_split import split_of_table

        table = find_table(source.files, "images.csv") or find_table(source.files, "labels.csv")
        if table is None:
            raise UserError(
                f"{source.files.path}: neither images.csv nor labels.csv is in it or beside it; expected the table of "
                "the NIPS 2017 set with its images"
            )
        form = next((form for form in (IMAGES_CSV, LABELS_CSV) if form[0] in table.columns), None)
        if form is None:
            raise UserError(
                f"{table.place} has the columns {', '.join(table.columns)}; expected {', '.join(IMAGES_CSV[:3])}, or "
                f"TransferAttack's {', '.join(LABELS_CSV[:3])}; for another table take the data set csv"
            )
        if len(table.rows) != self.IMAGES:
            raise UserError(
                f"{table.place} has {len(table.rows):,} rows, expected {self.IMAGES:,}, the whole set's; for a part of "
                "it take the data set csv"
            )
        file, label, target = (Column("", name) for name in form[:3])
        ordered = table.sorted_by(table.column(file))
        split = split_of_table(
            source, ordered, self.shape, self.family, "all", file=file, label=label, target=target, first=form[3]
        )
        return split, None

    def refuse_unlikely_start(self, source: "ImageSource") -> None:
        """Accept any start of a large tar: the table may lie at its end."""
