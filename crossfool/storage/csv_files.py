"""CSV files, read with a type for each column."""

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path
from types import UnionType

from crossfool.errors import UserError
from crossfool.storage import recovery


def read_csv(
    path: str | Path, columns: Mapping[str, type | UnionType], *, others: bool = False
) -> list[dict[str, str]]:
    """Rows of a CSV with a head, as text.

    Args:
        path: The file.
        columns: Name -> what its text must be: int, float (a finite one), float | None (that, or nothing) or str.
        others: Whether it may have other columns, in any order.

    Raises:
        UserError: the file is missing, cut off, no CSV in UTF-8, has other columns, or something else in one.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8")
        if not text.endswith("\n"):
            raise ValueError("its last line is cut off")
        table = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        heads = list(table.fieldnames or ())
        if not set(columns) <= set(heads) or len(set(heads)) < len(heads) or (not others and heads != list(columns)):
            raise ValueError(f"its columns are {heads}, expected {list(columns)}"[:200])
        rows = list(table)
        for number, row in enumerate(rows, 1):
            if None in row or None in row.values():
                raise ValueError(f"row {number} has not {len(heads)} values")
            for name, kind in columns.items():
                _checked(row[name], kind, f"{name} of row {number}")
    except FileNotFoundError:
        raise recovery.missing(path) from None
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path} is damaged ({error}); delete it and run `dvc repro`") from None
    return rows


def _checked(text: str, kind: type | UnionType, where: str) -> None:
    """Refuse a text that is no value of its kind."""
    if kind == float | None and not text:
        return
    number = int if kind is int else float
    try:
        right = kind is str or math.isfinite(number(text))
    except (ValueError, OverflowError):
        right = False
    if not right:
        raise ValueError(f"{where} is {text[:40]!r}, expected {number.__name__}")
