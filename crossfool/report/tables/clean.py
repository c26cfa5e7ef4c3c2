"""Clean accuracy of the models on the whole data set, their sizes, and the hashes of their weights."""

from collections.abc import Iterator

from crossfool.report.findings import Findings
from crossfool.report.number_text import count_text, rate_text
from crossfool.report.table import Column, Table
from crossfool.stats.rates import wilson_interval_in_percent

SECTION, ORDER, BRIEF = "models", 10, True
COLUMNS = (
    Column("model"),
    Column("top1", "top-1", "%", rate_text, ends=("top1_low", "top1_high")),
    *(Column(name, shown=False) for name in ("top1_low", "top1_high")),
    Column("top5", "top-5", "%", rate_text, ends=("top5_low", "top5_high")),
    *(Column(name, shown=False) for name in ("top5_low", "top5_high")),
    Column("published_top1", "published top-1", "%", rate_text),
    Column("n", "images", format=count_text),
    Column("parameters", format=count_text),
    Column("sha256", format=lambda digest: digest[:12], note="sha256 is of the weights, its first twelve digits."),
)


def tables(findings: Findings) -> Iterator[Table]:
    """A table of the models; weights have hashes where the cells made with them are in the folder."""
    rows = []
    for model, accuracy in findings.results.clean.items():
        low, high = wilson_interval_in_percent(accuracy["top5"], accuracy["n"])
        row = {column.name: accuracy.get(column.name) for column in COLUMNS}
        rows.append(row | {"model": model, "top5_low": low, "top5_high": high, "sha256": findings.weights.get(model)})
    yield Table(
        name="clean",
        title="Clean accuracy",
        columns=COLUMNS,
        rows=tuple(rows),
        notes=("On the whole data set, before any attack.",),
        command="dvc repro --glob 'predict@*'",
    )
