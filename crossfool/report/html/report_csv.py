"""The CSV files of `report/`, read back for the tables of the page."""

from collections.abc import Mapping
from pathlib import Path
from types import UnionType

from crossfool.report import paper_claims
from crossfool.report.table import Cell
from crossfool.storage import csv_files

ENDS = ("low", "high")  # columns: the ends of an interval
HEAD_COLUMNS = {  # CSV that is shown as it is -> columns that make a row's head
    **dict.fromkeys(("ranking", "samples"), ("attack",)),
    **dict.fromkeys(("seeds", "quantisation", "denominators"), ("source", "target")),
}

_ENDS_READ: dict[str, type | UnionType] = dict.fromkeys(ENDS, float)
COLUMN_TYPES: dict[
    str, Mapping[str, type | UnionType]
] = {  # CSV of `report/` -> columns that a table of the page makes use of
    "destruction_pooled": {"transform": str, "attack": str, "level": str, "rate": float, **_ENDS_READ, "n": int},
    "claims": {
        **dict.fromkeys(paper_claims.COLUMNS, str),
        "effect": float,
        "p": float | None,
        "comparisons": int,
        "images": int,
    },
    "budget": {
        **dict.fromkeys(("objective", "budget", "attack", "gradients", "place"), str),
        "success": float,
        **_ENDS_READ,
    },
    "pairwise": {
        **dict.fromkeys(("objective", "first", "second", "differs"), str),
        "difference": float,
        "low": float | None,
        "high": float | None,
        "p_holm": float,
    },
    "mcnemar": {
        **dict.fromkeys(("first", "second", "source", "target", "differs"), str),
        **dict.fromkeys(
            ("first_rate", "second_rate", "difference", "first_alone", "second_alone", "p", "p_holm"), float
        ),
        **_ENDS_READ,
    },
}


def csv_rows(report: Path, name: str) -> list[dict[str, str]]:
    """The rows of `name`.csv in the folder `report`, as text; none where the file is missing.

    Raises:
        UserError: the file is damaged, or lacks a column that the page makes use of.
    """
    path, columns = report / f"{name}.csv", COLUMN_TYPES.get(name) or dict.fromkeys(HEAD_COLUMNS.get(name, ()), str)
    return csv_files.read_csv(path, columns, others=True) if path.exists() else []


def csv_cell(text: str, places: int | None = None) -> Cell:
    """A cell for a value of a CSV; a number has `places` digits after the point, or six significant ones."""
    try:
        return Cell(f"{float(text):.6g}" if places is None else f"{float(text):.{places}f}", float(text))
    except ValueError:
        return Cell(text)
