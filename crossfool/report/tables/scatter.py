"""The data of the scatter plots, a row a dot."""

from collections.abc import Iterator

from crossfool.report import figure_data
from crossfool.report.findings import Findings
from crossfool.report.table import Column, Table

SECTION, ORDER = "data", 30
NAMES = ("error", "parameters", "rate", "low", "high", "n", "source", "family", "target", "attack")


def tables(findings: Findings) -> Iterator[Table]:
    """A table of all dots."""
    rows = figure_data.scatter_rows(findings.results)
    yield Table("scatter", "Data of the scatter plots", tuple(map(Column, NAMES)), rows)
