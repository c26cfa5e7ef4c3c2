"""Success over other images than the attacked ones, beside the errors that no attack made."""

from collections.abc import Iterator

from crossfool.experiment.results.detail_rows import denominator_rows
from crossfool.report.findings import Findings
from crossfool.report.number_text import rate_text
from crossfool.report.table import Column, Table
from crossfool.report.tables._cells import CELL, HEAD, RATE

SECTION, ORDER = "ranking", 80
COLUMNS = (
    *CELL,
    Column("counted"),
    *RATE,
    Column("clean_error", unit="%", format=rate_text, ends=("clean_low", "clean_high")),
    *(Column(name, shown=False) for name in ("clean_low", "clean_high")),
)


def tables(findings: Findings) -> Iterator[Table]:
    """A table of the cells whose models were wrong on some clean images."""
    yield Table(
        name="denominators",
        title="Success over other images",
        columns=COLUMNS,
        rows=tuple(denominator_rows(findings.results, "denominators")),
        head=HEAD,
        notes=(
            "Success over all attacked images, over those that the target model classifies correctly, and over those "
            "that all models classify correctly, with the target model's error on clean images.",
        ),
        fewest=2,
    )
