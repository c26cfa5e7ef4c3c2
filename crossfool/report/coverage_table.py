"""The table of `crossfool coverage`: what of the paper was run here, on what, and how near it came."""

from crossfool.report.number_text import difference_text, rate_text, two_places
from crossfool.report.reported.coverage import NOTHING, PART, WHOLE, Coverage
from crossfool.report.reported.published_rates import table_text
from crossfool.report.table import Column, Table

COLUMNS = (
    Column("item", "in the paper", format=table_text),
    Column("what", "shows"),
    Column("run"),
    Column("on"),
    Column("experiments", "experiment"),
    Column("reported", "reported figures"),
    Column("cells", "of these with ours"),
    Column("within", "within our interval"),
    Column("mean_difference", "mean difference", "points", difference_text),
    Column("mean_absolute_difference", "mean absolute difference", "points", rate_text),
    Column("rank_correlation", "rank correlation", format=two_places),
)


def table_of(coverage: Coverage) -> Table:
    """A line for each table and figure of the paper."""
    return Table(
        name="coverage",
        title="What of the paper was run here",
        columns=COLUMNS,
        rows=coverage.rows,
        notes=(
            _summary(coverage),
            "Reported are the success rates that the paper prints; a figure without any is drawn only. Those of "
            "figures 1 and 8 do not say of which model they are: there, the interval is the range of our rates.",
            "Differences are ours minus the paper's, in points; the correlation is Spearman's.",
            "Substitutes are other networks, or other images of the kind, with the paper's parameters of the attack: "
            "they say nothing of the paper's numbers.",
        ),
        command="crossfool coverage",
    )


def _summary(coverage: Coverage) -> str:
    """The coverage in two sentences: of the tables' success rates, and of the figures."""
    tables = [row for row in coverage.rows if row["item"].startswith("table")]
    figures = [row for row in coverage.rows if row not in tables and row["run"] != NOTHING]
    reported, cells, within = (sum(row[key] or 0 for row in tables) for key in ("reported", "cells", "within"))
    run = sum(row["run"] in (WHOLE, PART) for row in figures)
    return (
        f"Of the {reported} success rates in the paper's tables {cells} have a cell here, {within} of these in our "
        f"95% interval; {reported - cells} were never run. Of its {len(figures)} figures that show results {run} were "
        "run on the paper's networks and images."
    )
