"""Every two attacks of one objective on each black-box cell, by the exact McNemar test."""

from collections.abc import Iterator

from crossfool.experiment.results.ranking import mcnemar_rows
from crossfool.report.findings import Findings
from crossfool.report.number_text import count_text, rate_text
from crossfool.report.table import Column, Table
from crossfool.report.tables._cells import ENDS
from crossfool.report.tables._pairs import DIFFERENCE, DIFFERS, P_HOLM, P, count_differing

SECTION, ORDER = "cells", 10
MOST = 400  # rows, beyond which there is the CSV alone
COLUMNS = (
    *(Column("first"), Column("second"), Column("objective", shown=False), Column("source"), Column("target")),
    Column("first_rate", "first", "%", rate_text),
    Column("second_rate", "second", "%", rate_text),
    *(DIFFERENCE, *ENDS),
    Column("first_alone", format=count_text),
    Column("second_alone", format=count_text),
    *(P, P_HOLM, DIFFERS, Column("n", "images", format=count_text)),
)


def tables(findings: Findings) -> Iterator[Table]:
    """A table of all pairs and cells."""
    rows = tuple(mcnemar_rows(findings.evidence))
    yield Table(
        name="mcnemar",
        title="Every two attacks, cell by cell",
        columns=COLUMNS,
        rows=rows,
        head=("first", "second"),
        joint=" − ",
        notes=(
            "Percent of the same images that the first and the second succeed on, and how many images only the one or "
            "only the other does; exact McNemar test, p by Holm's method for all rows of the table: "
            f"{count_differing(rows)} differ, in bold.",
        ),
        fewest=2,
        most=MOST,
    )
