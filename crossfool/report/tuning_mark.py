"""The mark of tables whose rates are of tuning images: hyper-parameters are chosen on these, so no rate is a result."""

from dataclasses import replace

from crossfool.experiment.descriptions import TUNING_NOTICE
from crossfool.report.table import Column, Table

COLUMN = Column("use", shown=False)


def mark_tuning(table: Table) -> Table:
    """Copy a table with the notice as its first note, and for its CSV a column `use` of which every row says tuning."""
    rows = tuple({**row, COLUMN.name: "tuning"} for row in table.rows)
    note = f"{TUNING_NOTICE[:1].upper()}{TUNING_NOTICE[1:]}."
    return replace(table, columns=(*table.columns, COLUMN), rows=rows, notes=(note, *table.notes))
