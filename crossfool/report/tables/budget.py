"""Attacks at equal cost: success within budgets of gradient evaluations."""

from collections.abc import Iterator

from crossfool.experiment.results.detail_rows import OBJECTIVES, budget_rows
from crossfool.report.findings import Findings
from crossfool.report.number_text import count_text, interval_text, rate_text
from crossfool.report.table import Column, Matrix, Row, Table

SECTION, ORDER = "ranking", 30


def _under(row: Row) -> str:
    """The place, the gradient evaluations where they are fewer than the budget, and the interval."""
    below_budget = "" if row["gradients"] == row["budget"] else f" at {count_text(row['gradients'])}"
    return f"place {row['place']}{below_budget}\n{interval_text(row['low'], row['high'])}"


COLUMNS = (
    Column("objective"),
    Column("budget", format=count_text),
    Column("place"),
    Column("attack"),
    Column("gradients", format=count_text),
    Column("success", unit="%", format=rate_text, under=_under, heat=True),
    *(Column(name) for name in ("low", "high", "cells", "n")),
)


def tables(findings: Findings) -> Iterator[Table]:
    """All budgets as a file, and a table of each objective: a line an attack, the best of the largest budget first."""
    rows = tuple(budget_rows(findings.results, findings.mean_rates))
    yield Table("budget", "Attacks at equal cost", COLUMNS, rows, most=0)
    for objective in OBJECTIVES:
        yield _matrix(objective, tuple(row for row in rows if row["objective"] == objective))


def _matrix(objective: str, rows: tuple[Row, ...]) -> Table:
    budgets = list(dict.fromkeys(row["budget"] for row in rows))
    return Table(
        name=f"budget_{objective}",
        title=f"{objective.capitalize()} attacks at equal cost: success after so many gradient evaluations, %",
        columns=COLUMNS,
        rows=rows,
        notes=(
            "Success after at most so many gradient evaluations an image and model: at an attack's last recorded "
            "step within the budget. Steps are those of the whole run; an attack made for fewer evaluations would take "
            "larger ones. Rates are means over black-box cells, of all attacked images, whether models classify the "
            "clean ones correctly or not; 95% intervals: at the last step clustered by image, before that the widest "
            "possible, Wilson's for the number of images.",
            "“at” is the number of gradient evaluations up to that step, where it is below the budget.",
        ),
        matrix=Matrix(
            "attack", "budget", "success", [row["attack"] for row in rows if row["budget"] == budgets[-1]], budgets
        ),
        fewest=2,
    )
