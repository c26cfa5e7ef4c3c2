"""What an experiment says about the paper: figures side by side, and claims checked image by image."""

from collections.abc import Sequence
from typing import Any

from crossfool.report.claims import paper_claims
from crossfool.report.reported import comparison


def agreement(
    rows: Sequence[dict[str, Any]], found: Sequence[paper_claims.Claim], untested: str = ""
) -> dict[str, Any]:
    """The whole in few numbers, for `dvc metrics`: agreement with the paper's figures, and each claim's verdict.

    `untested` says why claims could not be tested; it stands there only where it says something.
    """
    verdicts = {
        claim.name: {
            "holds": claim.holds,
            "effect": float(f"{claim.effect:.6g}"),
            "p": None if claim.p is None else float(f"{claim.p:.6g}"),
        }
        for claim in found
    }
    about = {"untested": untested} if untested else {}
    return {"paper": comparison.summary(rows), "claims": verdicts, **about}


def lines(rows: Sequence[dict[str, Any]], found: Sequence[paper_claims.Claim]) -> list[str]:
    """The same for tables.md: paragraphs and tables."""
    parts = []
    if rows:
        total = comparison.summary(rows)
        rank = total["rank_correlation"]
        parts += [
            "## Agreement with the paper",
            f"{total['cells']} of the paper's figures have a cell here (comparison.csv has them all). Mean absolute "
            f"difference {total['mean_absolute_difference']:.1f} points, mean difference (ours minus the paper's) "
            f"{total['mean_difference']:+.1f}"
            + (f", rank correlation {rank:.2f} (Spearman)." if rank is not None else "."),
        ]
    if found:
        table = ["| claim | holds | effect | p | in the paper |", "| --- | --- | ---: | ---: | --- |"]
        for claim in found:
            p = "" if claim.p is None else "< 0.0001" if claim.p < 0.0001 else f"{claim.p:.2g}"
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
