"""Smoothed against plain gradients with momentum."""

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._counterparts import of_equal_steps, smoothed_against_plain
from crossfool.report.claims._verdict import Verdict

CLAIM = {
    "statement": "Smoothed gradients make momentum attacks transfer better.",
    "section": "section 7.3, table 5",
    "test": "paired test of both success rates, on the same images",
    "order": 140,
}


def check(evidence: Evidence) -> list[Verdict]:
    """Check smoothed against plain momentum, in equal steps."""
    rows = evidence.experiment.attacks
    both = [
        (smoothed, plain)
        for smoothed, plain in of_equal_steps(evidence.experiment)
        if rows[smoothed].update == "momentum"
    ]
    return smoothed_against_plain(evidence, both)
