"""Success beside gradient evaluations, and seconds on this machine, which differ from run to run."""

from collections.abc import Iterator
from dataclasses import asdict

from crossfool.experiment.results import cost_effectiveness
from crossfool.report.findings import Findings
from crossfool.report.number_text import count_text, rate_text, three_digits
from crossfool.report.table import Column, Table
from crossfool.report.tables._cells import ENDS

SECTION, ORDER, BRIEF = "ranking", 10, True
COLUMNS = (
    Column("attack"),
    Column("objective", shown=False),
    Column(
        "success",
        unit="%",
        format=rate_text,
        ends=("low", "high"),
        note="Success: mean over black-box cells (top-1; top-5 of targeted attacks), with its 95% interval, clustered "
        "by image.",
    ),
    *ENDS,
    Column("gradients", format=count_text, note="Gradients: evaluations an image and model."),
    Column("per_gradient", "success a gradient", "points", three_digits),
    Column(
        "seconds",
        "an image",
        "s",
        three_digits,
        note="Seconds: as this machine took them when it computed the cells last, mean over sources, without loading "
        "the models.",
    ),
    Column("per_second", "success a second", "points", three_digits),
    Column("by", shown=False),
)


def tables(findings: Findings) -> Iterator[Table]:
    """A table of the attacks, where seconds may be shown."""
    if not findings.timed:
        return
    costs = cost_effectiveness.cost_effectiveness_rows(findings.folder, findings.results, findings.mean_rates)
    hardware = ", ".join(sorted({name for cost in costs for name in cost.by}))
    more = [
        {"per_gradient": cost.per_gradient, "per_second": cost.per_second, "by": "; ".join(cost.by)} for cost in costs
    ]
    yield Table(
        name="spent",
        title="Attacks by success, beside gradients and seconds",
        columns=COLUMNS,
        rows=tuple(asdict(cost) | row for cost, row in zip(costs, more, strict=True)),
        notes=(f"Computed by: {hardware}.",) if hardware else (),
        fewest=2,
        command="crossfool report",
    )
