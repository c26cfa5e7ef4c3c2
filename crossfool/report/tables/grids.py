"""The data of the figures of grids, a row a point."""

from collections.abc import Iterator

from crossfool.report import figure_data
from crossfool.report.findings import Findings
from crossfool.report.table import Column, Table

SECTION, ORDER = "data", 20
COLUMNS = tuple(map(Column, ("x", "rate", "low", "high", "n", "line", "panel", "source", "target", "attack")))


def tables(findings: Findings) -> Iterator[Table]:
    """A table of each grid."""
    for name in ("a", "b"):
        yield Table(
            f"grid_{name}", f"Data of the figure of grid {name}", COLUMNS, figure_data.grid_rows(findings, name)
        )
