"""Tables of the page with the data that the report's figures are drawn from."""

from collections.abc import Iterator
from pathlib import Path

from crossfool.report.html.report_csv import csv_cell, csv_rows
from crossfool.report.table import Table

TITLES = {  # name of a CSV of `report/` -> title of its table
    "cost": "Success after each recorded step",
    "grid_a": "Data of the figure of grid a",
    "grid_b": "Data of the figure of grid b",
    "scatter": "Data of the scatter plots",
    "similarity": "Data of the figure of gradients' similarity",
}


def figure_data_tables(report: Path) -> Iterator[Table]:
    """A table for each CSV of figure data in the folder `report`, with all its columns; none for a missing CSV."""
    for name, title in TITLES.items():
        rows = csv_rows(report, name)
        if rows:
            first, *others = rows[0]
            yield Table(
                name=name,
                title=title,
                notes=(),
                corner=first,
                columns=tuple(others),
                rows=tuple((row[first], tuple(csv_cell(row[column]) for column in others)) for row in rows),
                records=tuple(rows),
                command="dvc repro report",
            )
