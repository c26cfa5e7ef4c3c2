"""Destruction rates of each pair of source and target, as a file."""

from collections.abc import Iterator

from crossfool.experiment.results.metrics import Results
from crossfool.report.findings import Findings
from crossfool.report.table import Column, Row, Table

SECTION, ORDER = "files", 20
COLUMNS = tuple(
    Column(name)
    for name in ("source", "target", "attack", "whitebox", "transform", "level", "rate", "low", "high", "n")
)


def tables(findings: Findings) -> Iterator[Table]:
    """A table of every pair, attack, transform and level."""
    yield Table("destruction", "Destruction rates of each pair", COLUMNS, tuple(_rows(findings.results)), most=0)


def _rows(results: Results) -> Iterator[Row]:
    for (source, attack), targets in results.destruction.items():
        for target, transforms in targets.items():
            whitebox = results.success[source, attack][target]["whitebox"]
            for transform, levels in transforms.items():
                for level, rates in levels.items():
                    row = {"source": source, "target": target, "attack": attack, "whitebox": whitebox}
                    yield row | {"transform": transform, "level": level} | rates
