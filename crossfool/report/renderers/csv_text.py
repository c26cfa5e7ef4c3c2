"""Tables as CSV: every row and column, as numbers and not as texts for people."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from crossfool.report.table import Table


def render_csv(table: Table) -> str:
    """A table as CSV, under its columns' names; a table without rows is its head alone."""
    return csv_text([column.name for column in table.columns], table.rows)


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """A CSV with a head line: 15 and not 15.0, true and not True, nothing for None.

    Args:
        columns: The head; a row may lack some of them.
        rows: Their values.
    """
    file = io.StringIO()
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _plain(value) for key, value in row.items()} for row in rows)
    return file.getvalue()


def _plain(value: Any) -> Any:
    """A value as the CSV has it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.10g}" if isinstance(value, float) else value
