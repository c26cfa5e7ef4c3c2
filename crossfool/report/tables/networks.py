"""Spread of success rates over networks of one model that are trained with different seeds."""

from collections.abc import Iterator

from crossfool.experiment.results.network_rows import network_rows
from crossfool.report.findings import Findings
from crossfool.report.number_text import count_text, rate_text
from crossfool.report.table import Column, Table
from crossfool.report.tables._cells import CELL, HEAD, SPREAD

SECTION, ORDER = "ranking", 65
COLUMNS = (
    *CELL,
    Column("networks"),
    *SPREAD,
    Column("target_networks"),
    Column(
        "target_deviation",
        unit="points",
        format=rate_text,
        note="Target deviation: that of the means of the target model's networks over all sources.",
    ),
    Column("n", "images", format=count_text),
)


def tables(findings: Findings) -> Iterator[Table]:
    """A table of the models with several networks."""
    yield Table(
        name="networks",
        title="Spread over networks of one model, trained with different seeds",
        columns=COLUMNS,
        rows=tuple(network_rows(findings.results)),
        head=HEAD,
        notes=(
            "Mean, sample deviation and range over source networks, of each the mean over the target model's networks; "
            "a white-box row is of each network on itself. Top-1 success, and top-5 of targeted attacks.",
        ),
    )
