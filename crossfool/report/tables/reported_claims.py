"""The paper's claims counted on its own tables, with the figures that contradict them."""

from collections.abc import Iterator

from crossfool.report.findings import Findings
from crossfool.report.number_text import count_text
from crossfool.report.reported.claims_on_figures import count_claims
from crossfool.report.reported.published_rates import table_text
from crossfool.report.table import Column, Table

SECTION, ORDER = "paper", 20
COLUMNS = (
    Column("claim"),
    Column("tables", "in the paper"),
    Column("as_claimed", format=count_text),
    Column("compared", "of", format=count_text),
    Column("counterexamples"),
)


def tables(findings: Findings) -> Iterator[Table]:
    """A table of the claims, where the experiment is one of the paper's data sets and tests any of them."""
    rows = [
        {
            "claim": count.claim,
            "tables": ", ".join(map(table_text, count.tables)),
            "as_claimed": count.as_claimed,
            "compared": count.compared,
            "counterexamples": "; ".join(count.counterexamples) or None,
        }
        for count in count_claims()
    ]
    yield Table(
        name="reported_claims",
        title="How often the paper's own tables are as it says",
        columns=COLUMNS,
        rows=tuple(rows),
        head=("claim", "tables"),
        joint=", ",
        notes=("Counted on the 203 reported rates; a test is not possible, for outcomes of images are not published.",),
        fewest=2,
    )
