"""Smoothed against plain gradients in each attack by itself."""

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._counterparts import smoothed_against_plain_by_part
from crossfool.report.claims._verdict import Verdict

CLAIM = {
    "statement": "Smoothed gradients make every attack transfer better.",
    "section": "section 7.3, tables 3 to 6",
    "test": "paired test of both success rates in each attack by itself, on the same images: the largest p of all",
    "order": 132,
}


def check(evidence: Evidence) -> list[Verdict]:
    """Check each smoothed attack against each of its counterparts, a mean over sources and targets."""
    return smoothed_against_plain_by_part(
        evidence, lambda smoothed, plain, source, target: f"{smoothed} against {plain}", "attacks"
    )
