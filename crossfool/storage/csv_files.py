"""CSV files, read with a check of each column's type."""

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path
from types import UnionType

from crossfool.errors import UserError, brief
from crossfool.storage import recovery


def read_csv(
    path: str | Path, columns: Mapping[str, type | UnionType], *, others: bool = False
) -> list[dict[str, str]]:
    """Read the rows of a CSV file with a header, as text.

    Args:
        path: The file.
        columns: Name -> type that its text must have: int, float (finite), float | None (finite or empty) or str.
        others: Whether the file may have other columns, in any order.

    Raises:
        UserError: the file is missing, cut off, no CSV in UTF-8, has other columns, or a text of another type.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8")
        if not text.endswith("\n"):
            raise ValueError("its last line is cut off")
        table = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        names = list(table.fieldnames or ())
        if not set(columns) <= set(names) or len(set(names)) < len(names) or (not others and names != list(columns)):
            raise ValueError(brief(f"its columns are {names}, expected {list(columns)}", 200))
        rows = list(table)
        for number, row in enumerate(rows, 1):
            if None in row or None in row.values():
                raise ValueError(f"row {number} has not {len(names)} values")
            for name, kind in columns.items():
                _check_type(row[name], kind, f"{name} of row {number}")
    except FileNotFoundError:
        raise recovery.missing_file(path) from None
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path} is damaged ({error}); delete it and run `dvc repro`") from None
    return rows


def _check_type(text: str, kind: type | UnionType, where: str) -> None:
    """Refuse a text that is no value of a column's type."""
    if kind == float | None and not text:
        return
    number = int if kind is int else float
    try:
        valid = kind is str or math.isfinite(number(text))
    except (ValueError, OverflowError):
        valid = False
    if not valid:
        raise ValueError(f"{where} is {text[:40]!r}, expected {number.__name__}")
