"""Spread of success rates over seeds."""

from collections.abc import Iterator

from crossfool.experiment.results.detail_rows import seed_rows
from crossfool.report.findings import Findings
from crossfool.report.number_text import count_text
from crossfool.report.table import Column, Table
from crossfool.report.tables._cells import CELL, HEAD, SPREAD

SECTION, ORDER = "ranking", 60
COLUMNS = (
    *CELL,
    Column("seeds"),
    *SPREAD,
    Column("n", "images", format=count_text),
)


def tables(findings: Findings) -> Iterator[Table]:
    """A table of the cells with several seeds."""
    yield Table(
        name="seeds",
        title="Spread over seeds",
        columns=COLUMNS,
        rows=tuple(seed_rows(findings.results)),
        head=HEAD,
        notes=("Mean and sample deviation of the success rate over the seeds.",),
        fewest=2,
    )
