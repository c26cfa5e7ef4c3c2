"""Agreement with the paper's figures and claims as few numbers, for agreement.json and `dvc metrics`."""

from typing import Any

from crossfool.experiment.descriptions import TUNING_NOTICE, no_compared_images_note
from crossfool.experiment.results.mean_rates import mean_rate_record
from crossfool.report import paper_claims
from crossfool.report.findings import Findings
from crossfool.report.reported import paper_agreement

CLAIM_KEYS = ("verdict", "effect", "low", "high", "p", "p_holm", "smallest_p", "detectable")


def agreement_numbers(findings: Findings) -> dict[str, Any]:
    """Agreement with reported figures, each claim's verdict, and why no claim was tested, where none could be.

    Mean success rates with their intervals stand here too, so that `show` reads no predictions.
    The agreement's key is `paper`; in an experiment that follows a protocol, `protocol`.
    """
    rows = paper_claims.claim_rows(findings.claims)
    claims = {row["name"]: {key: row[key] for key in CLAIM_KEYS} for row in rows}
    if findings.experiment.subset.uses_tuning:
        reason = {"untested": TUNING_NOTICE}
    else:
        reason = {"untested": no_compared_images_note(findings.experiment)} if findings.evidence.empty else {}
    reporter = "paper" if findings.experiment.protocol is None else "protocol"
    return {
        reporter: paper_agreement.agreement_summary(findings.agreement),
        "success": mean_rate_record(findings.mean_rates),
        "verdicts": paper_claims.count_verdicts(findings.claims),
        "claims": claims,
        **reason,
    }
