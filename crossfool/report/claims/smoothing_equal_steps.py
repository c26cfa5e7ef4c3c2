"""Smoothed against plain gradients in equal steps."""

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._counterparts import of_equal_steps, smoothed_against_plain
from crossfool.report.claims._verdict import Verdict

CLAIM = {
    "statement": "Smoothed gradients transfer better than plain ones in the same steps.",
    "section": "section 7.3, tables 4 and 5",
    "test": "paired test of both success rates, on the same images",
    "order": 120,
}


def check(evidence: Evidence) -> list[Verdict]:
    """Check smoothed against plain gradients on all black-box cells."""
    return smoothed_against_plain(evidence, of_equal_steps(evidence.experiment))
