"""Success after each recorded step of black-box cells: the data of the figure of cost."""

from collections.abc import Iterator

from crossfool.experiment.results.detail_rows import cost_rows
from crossfool.report.findings import Findings
from crossfool.report.table import Column, Table

SECTION, ORDER = "data", 10
COLUMNS = tuple(map(Column, ("attack", "source", "target", "step", "gradients", "rate", "low", "high", "n")))


def tables(findings: Findings) -> Iterator[Table]:
    """A table of the cells with recorded steps."""
    yield Table("cost", "Success after each recorded step", COLUMNS, tuple(cost_rows(findings.results)))
