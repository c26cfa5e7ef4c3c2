"""Success before and after images are stored: on floats, on rounded and on truncated images."""

from collections.abc import Iterator

from crossfool.experiment.results.detail_rows import denominator_rows
from crossfool.report.findings import Findings
from crossfool.report.table import Column, Table
from crossfool.report.tables._cells import CELL, HEAD, RATE

SECTION, ORDER = "ranking", 70
COLUMNS = (*CELL, Column("way"), *RATE)


def tables(findings: Findings) -> Iterator[Table]:
    """A table of the cells whose last images are kept as floats."""
    yield Table(
        name="quantisation",
        title="Success before and after images are stored",
        columns=COLUMNS,
        rows=tuple(denominator_rows(findings.results, "quantisation")),
        head=HEAD,
        notes=(
            "Success is counted on the floats that the attack ends with, on rounded images, which are those stored "
            "here, and on truncated images, which many programs store.",
        ),
        fewest=2,
    )
