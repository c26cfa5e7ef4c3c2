"""Our success rates beside the paper's."""

from collections.abc import Iterator

from crossfool.report.findings import Findings
from crossfool.report.number_text import difference_text, rate_text, two_places
from crossfool.report.reported import paper_agreement
from crossfool.report.reported.published_rates import METRICS, table_text
from crossfool.report.table import Column, Table

SECTION, ORDER = "paper", 10
COLUMNS = (
    Column("paper_table", "in the paper", format=table_text),
    Column("metric", format=lambda metric: METRICS[metric]),
    *(Column(name) for name in ("source", "target", "attack")),
    Column("ours", unit="%", format=rate_text, ends=("low", "high")),
    *(Column(name, shown=False) for name in ("low", "high", "n")),
    Column("paper", unit="%", format=rate_text),
    Column("difference", unit="points", format=difference_text),
    Column("within", "within our interval"),
)


def tables(findings: Findings) -> Iterator[Table]:
    """A table of the paper's figures that have a cell here."""
    rows = findings.agreement
    yield Table(
        name="comparison",
        title="Ours and the paper's success rates",
        columns=COLUMNS,
        rows=tuple(rows),
        head=("source", "target"),
        notes=(_summary(paper_agreement.agreement_summary(rows)),) if rows else (),
    )


def _summary(summary: dict[str, float | None]) -> str:
    """The agreement in one sentence."""
    absolute, mean, rank = (summary[key] for key in ("mean_absolute_difference", "mean_difference", "rank_correlation"))
    assert absolute is not None and mean is not None
    correlation = "" if rank is None else f", rank correlation {two_places(rank)} (Spearman)"
    return (
        f"{summary['cells']} of the paper's figures have a cell here, and {summary['within']} of these lie in our "
        f"interval. Mean absolute difference {rate_text(absolute)} points, mean difference (ours minus the paper's) "
        f"{difference_text(mean)}{correlation}."
    )
