"""The paper's claims, tested on the experiment's cells."""

from collections.abc import Iterator

from crossfool.report import paper_claims
from crossfool.report.findings import Findings
from crossfool.report.number_text import count_text, p_value_text, signed_digits
from crossfool.report.table import Column, Table

SECTION, ORDER = "claims", 10
COLUMNS = (
    Column("name", shown=False),
    Column("holds", format=lambda holds: "✓ yes" if holds else "✗ no"),
    Column("effect", format=signed_digits, under=lambda row: row["unit"]),
    Column("unit", shown=False),
    Column("p", format=p_value_text),
    Column("comparisons", format=count_text),
    Column("images", format=count_text),
    Column("section", "in the paper"),
    Column("statement", "claim"),
    Column("detail", "compared"),
)


def tables(findings: Findings) -> Iterator[Table]:
    """A table of the claims that the experiment has cells for."""
    yield Table(
        name="claims",
        title="What the paper claims, tested here",
        columns=COLUMNS,
        rows=tuple(paper_claims.claim_rows(findings.claims)),
        head=("statement",),
        notes=(
            "Each claim is checked by a paired test on the same images. ✓: the effect has the claimed sign and "
            "p < 0.05. ✗: it has not; with few images such a claim may only be undecided.",
        ),
    )
