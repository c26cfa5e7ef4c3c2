"""The report's CSV files, read back for the tables of the page."""

from collections.abc import Mapping
from pathlib import Path
from types import UnionType

from crossfool.report.claims import paper_claims
from crossfool.report.table import Cell
from crossfool.storage import csv_files

ENDS = ("low", "high")
COLUMNS = {"lpips": "Lpips: perceptual distance from the clean image, 0 if the same."}  # that are not always there
HEADS = {
    **dict.fromkeys(("ranking", "samples"), ("attack",)),
    **dict.fromkeys(("seeds", "quantisation", "denominators"), ("source", "target")),
}

ENDED: dict[str, type | UnionType] = dict.fromkeys(ENDS, float)
READ: dict[str, Mapping[str, type | UnionType]] = {  # CSV of the report -> columns that a table here makes use of
    "destruction_pooled": {"transform": str, "attack": str, "level": str, "rate": float, **ENDED, "n": int},
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
        **ENDED,
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
        **ENDED,
    },
}


def csv_rows(report: Path, name: str) -> list[dict[str, str]]:
    """Rows of a CSV of the report, whose columns that are shown as numbers are such; none where it is not there."""
    path, columns = report / f"{name}.csv", READ.get(name) or dict.fromkeys(HEADS.get(name, ()), str)
    return csv_files.read_csv(path, columns, others=True) if path.exists() else []


def csv_cell(text: str, places: int | None = None) -> Cell:
    """A cell of a CSV: a number, where it is one, to so many places after the point."""
    try:
        return Cell(f"{float(text):.6g}" if places is None else f"{float(text):.{places}f}", float(text))
    except ValueError:
        return Cell(text)
