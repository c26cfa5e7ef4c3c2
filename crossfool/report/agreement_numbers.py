"""Agreement with the paper's figures and claims as few numbers, for agreement.json and `dvc metrics`."""

from typing import Any

from crossfool.experiment.descriptions import no_compared_images_note
from crossfool.experiment.results.mean_rates import mean_rate_record
from crossfool.report.findings import Findings
from crossfool.report.reported import paper_agreement


def agreement_numbers(findings: Findings) -> dict[str, Any]:
    """Agreement with the paper's figures, each claim's verdict, and why no claim was tested, where none could be."""
    verdicts = {
        claim.name: {
            "holds": claim.holds,
            "effect": float(f"{claim.effect:.6g}"),
            "p": None if claim.p is None else float(f"{claim.p:.6g}"),
        }
        for claim in findings.claims
    }
    reason = {"untested": no_compared_images_note(findings.experiment)} if findings.evidence.empty else {}
    return {
        "paper": paper_agreement.agreement_summary(findings.agreement),
        "success": mean_rate_record(findings.mean_rates),
        "claims": verdicts,
        **reason,
    }
