"""Tables for JSON: every row and column, as numbers and not as texts for people."""

from typing import Any

from crossfool.report.table import Table


def table_content(table: Table) -> dict[str, Any]:
    """The content of a table: name, title and notes, and its rows by column name; None where nothing stands."""
    rows = [{column.name: row.get(column.name) for column in table.columns} for row in table.rows]
    return {"name": table.name, "title": table.title, "notes": table.all_notes, "rows": rows}
