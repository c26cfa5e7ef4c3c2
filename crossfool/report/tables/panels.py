"""Our dots beside the success rates that the paper writes into figures 1 and 8."""

from collections.abc import Iterator

from crossfool.report.findings import Findings
from crossfool.report.number_text import difference_text, rate_text
from crossfool.report.reported import published_panels
from crossfool.report.reported.published_rates import METRICS, table_text
from crossfool.report.table import Column, Table

SECTION, ORDER = "paper", 20
COLUMNS = (
    Column("figure", "in the paper", format=table_text),
    Column("metric", format=lambda metric: METRICS[metric]),
    *(Column(name) for name in ("target", "attack")),
    Column("dots", "our sources"),
    Column("ours", "ours, mean", "%", rate_text, ends=("low", "high")),
    *(Column(name, shown=False) for name in ("low", "high")),
    Column("paper_dots", "the paper's values"),
    Column("paper", "the paper's, mean", "%", rate_text, ends=("paper_low", "paper_high")),
    *(Column(name, shown=False) for name in ("paper_low", "paper_high")),
    Column("difference", unit="points", format=difference_text),
    Column("within", "of the paper's values in our range"),
)


def tables(findings: Findings) -> Iterator[Table]:
    """A table of the panels that the experiment has dots of."""
    yield Table(
        name="panels",
        title="Ours and the paper's success rates in figures 1 and 8",
        columns=COLUMNS,
        rows=tuple(published_panels.panel_rows(findings.results)),
        head=("figure",),
        notes=(
            "The paper writes a success rate beside each dot, and not which model it is of: compared are the mean and "
            "the range, in brackets, of the values in a panel. Sources of the target's family are left out, as there.",
        ),
    )
