"""Smoothed against plain gradients in other steps, at another cost."""

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._counterparts import of_neither, smoothed_against_plain
from crossfool.report.claims._verdict import Verdict

CLAIM = {
    "statement": "Smoothed gradients transfer better than plain ones that take other steps at another cost.",
    "section": "appendix C, table 6",
    "test": "paired test of both success rates, on the same images",
    "order": 130,
}


def check(evidence: Evidence) -> list[Verdict]:
    """Check smoothed against plain gradients on all black-box cells."""
    return smoothed_against_plain(evidence, of_neither(evidence.experiment))
