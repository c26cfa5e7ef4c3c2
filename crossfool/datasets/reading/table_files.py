"""CSV files of labels in a folder or tar of images, or beside it: found and parsed."""

import csv
import io

from crossfool.datasets.reading.image_files import ImageFiles
from crossfool.datasets.reading.image_names import HIDDEN, NO_FILE
from crossfool.datasets.reading.label_table import LabelTable
from crossfool.errors import UserError


def find_table(files: ImageFiles, name: str, levels: int = 1) -> LabelTable | None:
    """Read a table that lies in the folder or tar of the images, at any depth, or in one of the folders above it.

    Args:
        files: The images.
        name: The table's name, which may have folders before it.
        levels: Number of folders above.

    Returns:
        The table; None where there is none.

    Raises:
        UserError: there are two at one depth, or the table is no CSV with a row an image.
    """
    inside = [
        other
        for other, why in files.passed_over().items()
        if why not in (HIDDEN, NO_FILE) and (other == name or other.endswith(f"/{name}"))
    ]
    inside.sort(key=lambda other: (other.count("/"), other))
    if len(inside) > 1 and inside[0].count("/") == inside[1].count("/"):
        raise UserError(f"{files.where(inside[0])} is there twice, also as {inside[1]}; remove one")
    if inside:
        return parse_table(files.where(inside[0]), inside[0], files.read_other(inside[0]))
    for folder in list(files.path.absolute().parents)[:levels]:
        if (folder / name).is_file():
            return parse_table(str(folder / name), "", (folder / name).read_bytes())
    return None


def read_table(files: ImageFiles, name: str, key: str) -> LabelTable:
    """Read the table that a key of params.yaml names.

    Raises:
        UserError: it is neither in the folder or tar of the images nor beside it, or as `find_table`.
    """
    table = find_table(files, name)
    if table is None:
        raise UserError(f"dataset: {key}: {name} is neither in {files.path} nor beside it, in {files.path.parent}")
    return table


def parse_table(place: str, name: str, data: bytes) -> LabelTable:
    """Parse a CSV file with a line of column names; commas, semicolons or tabs lie between values.

    Args:
        place: As in `LabelTable`.
        name: As in `LabelTable`.
        data: The file's bytes.

    Raises:
        UserError: it is no CSV in UTF-8, has no rows or two columns of one name, or a row has too few or many values.
    """
    try:
        text = data.decode("utf-8-sig")
        delimiter = max(",;\t", key=text.partition("\n")[0].count)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        columns = [column.strip() for column in next(reader, [])]
        numbered = [(reader.line_num, row) for row in reader if row]
    except UnicodeDecodeError:
        raise UserError(f"{place} is no text in UTF-8; save it as CSV in UTF-8") from None
    except csv.Error as error:
        raise UserError(f"{place} is no CSV ({error}); save it as CSV in UTF-8") from None
    if not numbered:
        raise UserError(f"{place} has no rows; expected a line of column names, and below it a row an image")
    twice = next((column for column in columns if columns.count(column) > 1), None)
    if twice is not None:
        raise UserError(f"{place} has two columns {twice!r}; rename one")
    for line, row in numbered:
        if len(row) != len(columns):
            raise UserError(f"{place}: line {line} has {len(row)} values, expected {len(columns)}, one a column")
    rows = tuple((line, dict(zip(columns, row, strict=True))) for line, row in numbered)
    return LabelTable(place, name, tuple(columns), rows)
