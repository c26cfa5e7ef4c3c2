"""Attacks whose code is known to depart from their papers: marked by † in every table that names them, with a note."""

from dataclasses import replace
from typing import Any

from crossfool.experiment.config import Experiment
from crossfool.experiment.descriptions import departure
from crossfool.report.table import Column, Table

MARK = " †"
NAMING = ("attack", "first", "second")  # columns that hold an attack's name


def departures(experiment: Experiment) -> dict[str, str]:
    """Attack -> in what its code departs from its paper, of those that are known to."""
    found = {name: departure(row) for name, row in experiment.rows.items()}
    return {name: text for name, text in found.items() if text}


def mark_departures(table: Table, departs: dict[str, str]) -> Table:
    """Copy a table with a mark at each attack that departs, and a note that says in what; the CSV stays as it is."""
    matrix = table.matrix
    shown = NAMING if matrix is None else tuple(name for name in NAMING if name in (matrix.row, matrix.column))
    values = (row.get(column) for row in table.rows for column in shown)
    named = {name: departs[name] for name in values if name in departs}
    if not named:
        return table
    columns = tuple(_marking(column, departs) if column.name in shown else column for column in table.columns)
    return replace(table, columns=columns, notes=(*table.notes, note(named)))


def note(departs: dict[str, str]) -> str:
    """The note that says in what attacks depart from their papers; those alike stand together."""
    names: dict[str, list[str]] = {}
    for name, text in departs.items():
        names.setdefault(text, []).append(name)
    texts = (f"{', '.join(alike)}: {text}" for text, alike in names.items())
    return f"† The code is known to depart from the attack's paper. {'; '.join(texts)}."


def _marking(column: Column, departs: dict[str, str]) -> Column:
    def text(value: Any) -> str:
        return column.format(value) + (MARK if value in departs else "")

    return replace(column, format=text)
