"""ImageNet's validation set, in class folders or flat with its labels in it or beside it."""

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

from crossfool.datasets.preparation.class_names import class_folders
from crossfool.datasets.preparation.split import SHAPES, Split
from crossfool.datasets.reading import devkit
from crossfool.datasets.reading.image_files import ImageFiles
from crossfool.datasets.reading.image_names import passed_over_note
from crossfool.datasets.reading.image_source import ImageSource
from crossfool.datasets.reading.label_table import Column, LabelTable
from crossfool.datasets.reading.table_files import find_table, read_table
from crossfool.datasets.reading.table_split import FILE, LABEL
from crossfool.errors import UserError

SOLUTION = "LOC_val_solution.csv"  # Kaggle's; its images lie four folders below it, in ILSVRC/Data/CLS-LOC/val
LEVELS = 4


def validation_split(source: ImageSource, table: str | None = None) -> Split:
    """Make a split of the whole ILSVRC2012 validation set, in class folders or flat.

    Args:
        source: The images.
        table: Name of a table of labels of images that lie flat; None where the devkit or Kaggle's table has them.

    Raises:
        UserError: images or labels are missing, or images lie in folders of other classes.
    """
    files = source.files
    names = _by_file_name(files.names())
    refuse_numbered_folders(files, names)
    if len(names) != devkit.IMAGENET_IMAGES:
        note = passed_over_note(files.passed_over())
        raise UserError(
            f"{files.path} holds {len(names)} images, expected the {devkit.IMAGENET_IMAGES} of ImageNet's "
            f"validation set; for a part of it take the data set imagefolder{'; ' if note else ''}{note}"
        )
    ids = set(class_folders("imagenet"))
    if not any(PurePosixPath(name).parent.name in ids for name in names):
        labels, read = _flat_labels(files, names, table)
        return source.split(SHAPES["imagenet"], names, labels, "validation", table=read)
    if table is not None:
        raise UserError(f"dataset: table: {files.path} has class folders, and their names are the labels; remove it")
    split = source.by_class("imagenet", None, "validation")
    each = devkit.IMAGENET_IMAGES // 1000
    counts = Counter(split.labels.tolist())
    for label, folder in enumerate(class_folders("imagenet")):
        if counts[label] != each:
            raise UserError(
                f"{files.path}: the class folder {folder} holds {counts[label]} images, expected {each} as in "
                "ImageNet's validation set; for other images take the data set imagefolder"
            )
    by_file = dict(zip(split.files, split.labels.tolist(), strict=True))
    return source.split(SHAPES["imagenet"], names, [by_file[name] for name in names], "validation")


def refuse_numbered_folders(files: ImageFiles, names: Sequence[str]) -> None:
    """Refuse images in folders that are numbers: which classes these are, a name of a data set has to say.

    Raises:
        UserError: an image lies in one.
    """
    for name in names:
        folder = PurePosixPath(name).parent.name
        if folder.isascii() and folder.isdecimal() and int(folder) < 1000:
            raise UserError(
                f"{files.where(name)} lies in a folder called by a number, as ImageNet-V2's are; for those take the "
                "data set imagenet-v2, which reads 0 to 999 as numbers"
            )


def refuse_no_labels(files: ImageFiles) -> None:
    """Refuse images that lie flat and have neither a devkit nor Kaggle's table.

    Raises:
        UserError: neither is there.
    """
    if devkit.has_devkit(files.path) or find_table(files, SOLUTION, LEVELS) is not None:
        return
    devkit.devkit_place(files.path)


def _flat_labels(files: ImageFiles, names: Sequence[str], table: str | None) -> tuple[list[int], str]:
    """Labels of images that lie flat, and the name of the table among them that they are read from, "" for none.

    They are read from the table that is named, else from the devkit, else from Kaggle's table.
    """
    if table is not None:
        read = read_table(files, table, "table")
    elif devkit.has_devkit(files.path) or (solution := find_table(files, SOLUTION, LEVELS)) is None:
        return devkit.validation_labels(files, names), ""
    else:
        read = solution
    return _table_labels(read, files, names), read.name


def _table_labels(table: LabelTable, files: ImageFiles, names: Sequence[str]) -> list[int]:
    """Labels of images in a table that names them all.

    In Kaggle's, a label is the first word of `PredictionString`, which goes on with a box: n01978930 85 1 499 272 ...

    Raises:
        UserError: an image is in no row, or as `LabelTable.files` and `LabelTable.labels`.
    """
    is_solution = "PredictionString" in table.columns
    column = table.column(Column("", "PredictionString" if is_solution else None, LABEL))
    labels = table.labels(column, "imagenet", pick=lambda text: next(iter(text.split()), ""))
    by_file = dict(zip(table.files(table.column(Column("", None, FILE)), files), labels, strict=True))
    for name in names:
        if name not in by_file:
            raise UserError(f"{files.where(name)} is in no row of {table.place}; add the row, or remove the image")
    return [by_file[name] for name in names]


def _by_file_name(paths: Sequence[str]) -> list[str]:
    """Paths in the order of their last parts, so that an image has one id whatever folder it lies in."""
    return sorted(paths, key=lambda path: (PurePosixPath(path).name, path))
