"""Table: how well the adversarial images of each source transfer."""

from collections.abc import Iterator

from crossfool.report.findings import Findings
from crossfool.report.number_text import count_text, rate_text
from crossfool.report.table import Column, Table

SECTION, ORDER = "ranking", 5
COLUMNS = (
    Column("source"),
    Column("cells", "black-box cells", format=count_text),
    Column(
        "mean", "mean success rate", unit="%", format=rate_text, note="Mean over the black-box cells of all attacks."
    ),
)


def tables(findings: Findings) -> Iterator[Table]:
    """A table of the sources that have a black-box cell."""
    rates: dict[str, list[float]] = {}
    for (source, _), by_target in findings.results.success.items():
        rates.setdefault(source, []).extend(cell["top1"] for cell in by_target.values() if not cell["whitebox"])
    rows = (
        {"source": source, "cells": len(cells), "mean": sum(cells) / len(cells)}
        for source, cells in rates.items()
        if cells
    )
    yield Table("by_source", "Success rates by source", COLUMNS, tuple(rows))
