"""Every attack against every other of its objective, pooled over black-box cells: a matrix of differences."""

from collections.abc import Iterator
from dataclasses import replace

from crossfool.experiment.results.detail_rows import OBJECTIVES
from crossfool.report.findings import Findings
from crossfool.report.number_text import interval_text, p_equation
from crossfool.report.table import Column, Matrix, Row, Table
from crossfool.report.tables._cells import ENDS
from crossfool.report.tables._pairs import DIFFERENCE, DIFFERS, P_HOLM, P, count_differing

SECTION, ORDER = "ranking", 25


def _under(row: Row) -> str:
    """The interval, the adjusted p, and whether the two differ."""
    differ = "; differ" if row["differs"] else ""
    return f"{interval_text(row['low'], row['high'])}\n{p_equation(row['p_holm'])}{differ}"


COLUMNS = (
    Column("first", "attack"),
    Column("second"),
    Column("objective"),
    replace(DIFFERENCE, ends=None, under=_under),
    *ENDS,
    *(P, P_HOLM, DIFFERS, Column("cells"), Column("n")),
)


def tables(findings: Findings) -> Iterator[Table]:
    """All pairs as a file, and a matrix of those of each objective, whose p-values are adjusted for all."""
    rows = tuple(findings.pairs)
    yield Table("pairwise", "Every two attacks", COLUMNS, rows, most=0)
    for objective in OBJECTIVES:
        yield _matrix(objective, tuple(row for row in rows if row["objective"] == objective))


def _matrix(objective: str, rows: tuple[Row, ...]) -> Table:
    attacks = list(dict.fromkeys(attack for row in rows for attack in (row["first"], row["second"])))
    metric = " (by top-5)" if objective == "targeted" else ""
    return Table(
        name=f"pairwise_{objective}",
        title=f"{objective.capitalize()} attacks in pairs: success rate of the row minus that of the column, points",
        columns=COLUMNS,
        rows=rows,
        notes=(
            "Paired test by image: the exact McNemar test where there is one black-box cell, else the exact sign-flip "
            "permutation test, with the 95% interval that goes with it; p-values are adjusted for all pairs by Holm's "
            f"method. The adjusted p-value is below 0.05 for {count_differing(rows)} pairs, in bold; all others are "
            f"undecided. The command crossfool compare prints the p of one pair{metric}, unadjusted.",
        ),
        matrix=Matrix("first", "second", "difference", attacks, attacks, mirror=_mirrored),
        fewest=2,
    )


def _mirrored(row: Row) -> Row:
    """The row of the second attack against the first."""
    low, high = -row["high"], -row["low"]
    return {
        **row,
        "first": row["second"],
        "second": row["first"],
        "difference": -row["difference"],
        "low": low,
        "high": high,
    }
