"""Agreement with the paper's figures and claims as few numbers, for agreement.json and `dvc metrics`."""

from typing import Any

from crossfool.experiment.descriptions import TUNING_NOTICE, no_compared_images_note
from crossfool.report.findings import Findings
from crossfool.report.reported import paper_agreement


def agreement_numbers(findings: Findings) -> dict[str, Any]:
    """Agreement with the paper's figures, each claim's verdict, and why no claim was tested, where none was."""
    if findings.experiment.subset.uses_tuning:
        return {"paper": paper_agreement.agreement_summary([]), "claims": {}, "untested": TUNING_NOTICE}
    verdicts = {
        claim.name: {
            "holds": claim.holds,
            "effect": float(f"{claim.effect:.6g}"),
            "p": None if claim.p is None else float(f"{claim.p:.6g}"),
        }
        for claim in findings.claims
    }
    reason = {"untested": no_compared_images_note(findings.experiment)} if findings.evidence.empty else {}
    return {"paper": paper_agreement.agreement_summary(findings.agreement), "claims": verdicts, **reason}
