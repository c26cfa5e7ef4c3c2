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
        title="Attacks in pairs, cell by cell",
        columns=COLUMNS,
        rows=rows,
        head=("first", "second"),
        joint=" − ",
        notes=(
            "Success rates on the same images, and the number of images on which the first or the second attack alone "
            "succeeds. Exact McNemar test, adjusted for all rows of the table by Holm's method. The adjusted p-value "
            f"is below 0.05 in {count_differing(rows)} rows, in bold; all others are undecided.",
            "The command crossfool compare prints the same p (of targeted attacks, by top-5), adjusted for cells of "
            "its two attacks alone.",
        ),
        fewest=2,
        most=MOST,
    )
