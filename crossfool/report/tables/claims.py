"""The paper's claims, tested on the experiment's cells."""

from collections.abc import Iterator

from crossfool.report import paper_claims
from crossfool.report.findings import Findings
from crossfool.report.number_text import count_text, p_value_text, signed_digits, three_digits
from crossfool.report.table import Column, Row, Table

SECTION, ORDER = "claims", 10


def _effect_under(row: Row) -> str:
    """The effect's unit and interval."""
    ends = "" if row["low"] is None else f"\n[{signed_digits(row['low'])}, {signed_digits(row['high'])}]"
    return f"{row['unit']}{ends}"


def _verdict_under(row: Row) -> str:
    """Smallest effect and p-value that could have been shown, for an undecided claim."""
    if row["verdict"] != "undecided":
        return ""
    texts = []
    if row["detectable"] is not None:
        texts.append(f"could show {three_digits(row['detectable'])} {row['unit']}")
    if row["smallest_p"] is not None:
        texts.append(f"smallest p {p_value_text(row['smallest_p'])}")
    return "\n".join(texts)


COLUMNS = (
    Column("name", shown=False),
    Column("verdict", under=_verdict_under),
    Column("effect", format=signed_digits, under=_effect_under),
    *(Column(name, shown=False) for name in ("low", "high", "unit")),
    Column("p", format=p_value_text),
    Column("p_holm", "p, Holm", format=p_value_text),
    *(Column(name, shown=False) for name in ("smallest_p", "detectable")),
    Column("comparisons", format=count_text),
    Column("images", format=count_text),
    Column("units", "unit of the test", under=lambda row: count_text(row["count"]) if row["count"] else ""),
    Column("count", shown=False),
    Column("section", "in the paper"),
    Column("statement", "claim"),
    Column("detail", "compared"),
)


def tables(findings: Findings) -> Iterator[Table]:
    """A table of the claims that the experiment has cells for."""
    counts = paper_claims.count_verdicts(findings.claims)
    yield Table(
        name="claims",
        title="What the paper claims, tested here",
        columns=COLUMNS,
        rows=tuple(paper_claims.claim_rows(findings.claims)),
        head=("statement",),
        notes=(
            f"{', '.join(f'{count} {verdict}' for verdict, count in counts.items())}. Supported: the effect has the "
            "claimed sign and p < 0.05 by Holm's method for all claims here; contradicted: the other sign, and p < "
            "0.05; undecided: neither. Could show: the effect that would have been significant four times in five; "
            "smallest p: had every unit that could do so gone as claimed. 95% intervals are not adjusted.",
        ),
    )
