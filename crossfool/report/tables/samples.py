"""The number of Gaussian samples with the same success as the samples of another noise."""

from collections.abc import Iterator

from crossfool.experiment.results.sample_equivalence import sample_equivalence_rows
from crossfool.report.findings import Findings
from crossfool.report.number_text import count_text, rate_text
from crossfool.report.table import MISSING, Column, Row, Table
from crossfool.report.tables._cells import ENDS

SECTION, ORDER = "ranking", 50


def _ends(row: Row) -> str:
    """The interval, whose ends may be missing."""
    low, high = (MISSING if row[end] is None else rate_text(row[end]) for end in ("low", "high"))
    return f"[{low}, {high}]"


COLUMNS = (
    Column("attack"),
    Column("noise"),
    Column("samples", "m"),
    Column("success", unit="%", format=rate_text),
    Column("worth", "equivalent Gaussian samples", format=rate_text, under=_ends),
    *ENDS,
    Column("cells"),
    Column("n", "images", format=count_text),
)


def tables(findings: Findings) -> Iterator[Table]:
    """A table of the attacks whose noise is not Gaussian."""
    yield Table(
        name="samples",
        title="Samples of other noises at equal success",
        columns=COLUMNS,
        rows=tuple(sample_equivalence_rows(findings.evidence)),
        notes=(
            "Equivalent Gaussian samples: the number of samples of independent Gaussian noise at which success is "
            "equal, interpolated linearly in log m between the rows of Gaussian noise, with a 95% interval from "
            "2,000 bootstrap draws of the images. A cell is empty if all rows of Gaussian noise succeed more often, or "
            "all less often.",
        ),
    )
