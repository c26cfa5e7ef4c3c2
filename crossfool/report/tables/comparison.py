"""Our success rates beside the paper's, or beside those of the protocol that an experiment follows."""

from collections.abc import Iterator

from crossfool.experiment.protocol_files import Protocol
from crossfool.report.findings import Findings
from crossfool.report.number_text import difference_text, rate_text, two_places
from crossfool.report.reported import paper_agreement
from crossfool.report.reported.protocol_rates import protocol_of, reporter
from crossfool.report.reported.published_rates import METRICS, table_text
from crossfool.report.table import Column, Table

SECTION, ORDER = "paper", 10


def tables(findings: Findings) -> Iterator[Table]:
    """A table of the reported figures that have a cell here."""
    rows, protocol = findings.agreement, protocol_of(findings.experiment)
    who = reporter(findings.experiment)
    summary = (_summary(paper_agreement.agreement_summary(rows), who),) if rows else ()
    yield Table(
        name="comparison",
        title=f"Ours and {who}'s success rates",
        columns=_columns(protocol),
        rows=tuple(rows),
        head=("source", "target"),
        notes=summary if protocol is None else (*summary, *_protocol_notes(protocol, findings)),
    )


def _columns(protocol: Protocol | None) -> tuple[Column, ...]:
    """The columns, of the same names whoever reports."""
    return (
        Column("paper_table", "in the paper" if protocol is None else "reported by", format=table_text),
        Column("metric", format=lambda metric: METRICS[metric]),
        *(Column(name) for name in ("source", "target", "attack")),
        Column("ours", unit="%", format=rate_text, ends=("low", "high")),
        *(Column(name, shown=False) for name in ("low", "high", "n")),
        Column("paper", "paper" if protocol is None else "reported", unit="%", format=rate_text),
        Column("difference", unit="points", format=difference_text),
        Column("within", "within our interval"),
    )


def _protocol_notes(protocol: Protocol, findings: Findings) -> Iterator[str]:
    """Sentences on where a protocol's figures stand, and on what they and ours differ in."""
    ours = findings.experiment.dataset.name
    yield f"Reported in {protocol.rates_from}, on images of {protocol.dataset}; ours of {ours}."
    yield from protocol.open


def _summary(summary: dict[str, float | None], who: str) -> str:
    """The agreement in one sentence."""
    absolute, mean, rank = (summary[key] for key in ("mean_absolute_difference", "mean_difference", "rank_correlation"))
    assert absolute is not None and mean is not None
    correlation = "" if rank is None else f", rank correlation {two_places(rank)} (Spearman)"
    return (
        f"{summary['cells']} of {who}'s figures have a cell here, and {summary['within']} of these lie in our "
        f"interval. Mean absolute difference {rate_text(absolute)} points, mean difference (ours minus {who}'s) "
        f"{difference_text(mean)}{correlation}."
    )
