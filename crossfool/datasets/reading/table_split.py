"""Splits of images whose labels stand in a table."""

import dataclasses

import numpy as np

from crossfool.datasets.preparation.split import Shape, Split
from crossfool.datasets.reading.image_names import passed_over_note
from crossfool.datasets.reading.image_source import ImageSource
from crossfool.datasets.reading.label_table import Column, LabelTable
from crossfool.errors import UserError

FILE = ("file", "filename", "file_name", "image", "path", "imageid", "image_id")  # usual names, in small letters
LABEL = ("label", "class", "class_id", "label_id", "wnid", "synset")


def split_of_table(
    source: ImageSource,
    table: LabelTable,
    shape: Shape,
    family: str,
    name: str,
    *,
    file: Column,
    label: Column,
    target: Column | None = None,
    first: int = 0,
    hint: str = "",
) -> Split:
    """Make a split of the images that a table's rows name, in the order of rows; other images are passed over.

    Args:
        source: The images.
        table: The table.
        shape: The shape of the prepared images.
        family: The family of the classes: mnist, cifar10 or imagenet.
        name: Name of the split.
        file: The column of file names.
        label: The column of labels.
        target: The column of target labels, or None.
        first: As in `LabelTable.labels`.
        hint: As in `LabelTable.labels`.

    Raises:
        UserError: a column, a file or a class is not there, a row stands twice, or a target label is the label.
    """
    files, labels = table.column(file), table.column(label)
    names = table.files(files, source.files)
    values = table.labels(labels, family, first=first, hint=hint)
    split = source.split(shape, names, values, name)
    reasons = {other: why for other, why in source.files.passed_over().items() if other != table.name}
    listed = set(names)
    reasons |= {other: "in no row of the table" for other in source.files.names() if other not in listed}
    split = dataclasses.replace(split, note=passed_over_note(dict(sorted(reasons.items()))))
    if target is None:
        return split
    column = table.column(target)
    targets = table.labels(column, family, first=first, hint=hint)
    for (line, row), value, aim in zip(table.rows, values, targets, strict=True):
        if value == aim:
            raise UserError(
                f"{table.place}: line {line}: {column} is {row[column]}, which is the label; expected another"
            )
    return dataclasses.replace(split, target_labels=np.array(targets, np.int64))
