"""The data of the figure of gradients' similarity, a row a point."""

from collections.abc import Iterator

from crossfool.report import figure_data
from crossfool.report.findings import Findings
from crossfool.report.table import Column, Table

SECTION, ORDER = "data", 40
NAMES = ("analysis", "source", "target", "samples", "cosine", "low", "high", "n")


def tables(findings: Findings) -> Iterator[Table]:
    """A table of all analyses."""
    rows = figure_data.similarity_rows(findings.evidence)
    yield Table("similarity", "Data of the figure of gradients' similarity", tuple(map(Column, NAMES)), rows)
