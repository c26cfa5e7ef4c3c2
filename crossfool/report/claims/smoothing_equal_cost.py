"""Smoothed against plain gradients at equal cost."""

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._counterparts import of_equal_cost, smoothed_against_plain
from crossfool.report.claims._verdict import Verdict

CLAIM = {
    "statement": "Smoothed gradients transfer better than plain ones at the same count of gradient evaluations.",
    "section": "section 7.3, table 3",
    "test": "paired test of both success rates, on the same images",
    "order": 110,
}


def check(evidence: Evidence) -> list[Verdict]:
    """Check smoothed against plain gradients on all black-box cells."""
    return smoothed_against_plain(evidence, of_equal_cost(evidence.experiment))
