"""Agreement with the paper's figures and claims: as Markdown for tables.md, and as numbers for agreement.json."""

from collections.abc import Sequence
from typing import Any

from crossfool.report import paper_claims
from crossfool.report.number_text import p_value_text
from crossfool.report.reported import paper_agreement


def agreement_numbers(
    rows: Sequence[dict[str, Any]], claims: Sequence[paper_claims.Claim], untested: str = ""
) -> dict[str, Any]:
    """Agreement with the paper's figures and each claim's verdict in few numbers, for `dvc metrics`.

    Args:
        rows: Those of `comparison.comparison_rows`.
        claims: The checked claims.
        untested: Why claims could not be tested; the key is left out where it is "".
    """
    verdicts = {
        claim.name: {
            "holds": claim.holds,
            "effect": float(f"{claim.effect:.6g}"),
            "p": None if claim.p is None else float(f"{claim.p:.6g}"),
        }
        for claim in claims
    }
    reason = {"untested": untested} if untested else {}
    return {"paper": paper_agreement.agreement_summary(rows), "claims": verdicts, **reason}


def paper_sections(rows: Sequence[dict[str, Any]], claims: Sequence[paper_claims.Claim]) -> list[str]:
    """Paragraphs and tables for tables.md.

    Args:
        rows: Those of `comparison.comparison_rows`.
        claims: The checked claims.
    """
    parts = []
    if rows:
        summary = paper_agreement.agreement_summary(rows)
        rank = summary["rank_correlation"]
        parts += [
            "## Agreement with the paper",
            f"{summary['cells']} of the paper's figures have a cell here (comparison.csv has them all). Mean absolute "
            f"difference {summary['mean_absolute_difference']:.1f} points, mean difference (ours minus the paper's) "
            f"{summary['mean_difference']:+.1f}"
            + (f", rank correlation {rank:.2f} (Spearman)." if rank is not None else "."),
        ]
    if claims:
        table = ["| claim | holds | effect | p | in the paper |", "| --- | --- | ---: | ---: | --- |"]
        for claim in claims:
            p = "" if claim.p is None else p_value_text(claim.p)
            table.append(
                f"| {claim.statement} | {'yes' if claim.holds else 'no'} | {claim.effect:+.3g} {claim.unit} | {p} | "
                f"{claim.section} |"
            )
        parts += [
            "## The paper's claims",
            "Each is a paired test on the same images (claims.csv says of which cells): a claim holds where the effect "
            "has the claimed sign and p < 0.05.",
            "\n".join(table),
        ]
    return parts
