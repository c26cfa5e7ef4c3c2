"""Destruction rates of each transform, black-box pairs pooled: attacks against levels."""

from collections.abc import Iterator

from crossfool.pipeline.evaluation.transform_levels import find_transform
from crossfool.report.findings import Findings
from crossfool.report.number_text import count_text, rate_text
from crossfool.report.table import Column, Matrix, Table

SECTION, ORDER = "destruction", 10
COLUMNS = (
    Column("attack"),
    Column("transform"),
    Column("level"),
    Column("rate", unit="%", format=rate_text, ends=("low", "high"), heat=True),
    *(Column(name) for name in ("low", "high")),
    Column("n", "fooled", format=count_text),
)


def tables(findings: Findings) -> Iterator[Table]:
    """All rates as a file, and a table of each transform."""
    rows = [
        {"attack": attack, "transform": transform, **point._asdict()}
        for transform, lines in findings.destruction.items()
        for attack, points in lines.items()
        for point in points
    ]
    yield Table("destruction_pooled", "Destruction rates, black-box pairs pooled", COLUMNS, tuple(rows), most=0)
    experiment = findings.experiment
    for transform in findings.destruction:
        yield Table(
            name=f"destruction_{transform}",
            title=f"{transform}: destruction rate, %",
            columns=COLUMNS,
            rows=tuple(row for row in rows if row["transform"] == transform),
            notes=(f"Levels: {find_transform(transform).unit}.",),
            matrix=Matrix(
                "attack", "level", "rate", list(experiment.attacks), experiment.transforms[transform], extra=("n",)
            ),
            command="dvc repro --glob 'evaluate@*'",
        )
