"""Tables as JSON: every row and column, as numbers and not as texts for people."""

import json

from crossfool.report.table import Table


def render_json(table: Table) -> str:
    """A table as a JSON object: its name, title and notes, and its rows by column name; null where nothing stands."""
    rows = [{column.name: row.get(column.name) for column in table.columns} for row in table.rows]
    content = {"name": table.name, "title": table.title, "notes": table.all_notes, "rows": rows}
    return json.dumps(content, indent=2, ensure_ascii=False)
