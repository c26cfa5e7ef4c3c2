"""Smoothed against plain gradients of targeted attacks, by the top-1 criterion."""

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._counterparts import contrast_of_papers, of_equal_steps
from crossfool.report.claims._verdict import Verdict
from crossfool.stats.paired_tests import OutcomePair

CLAIM = {
    "statement": "Smoothed gradients make targeted attacks transfer better by the top-1 rate, too.",
    "section": "appendix C, table 7",
    "test": "paired test of both top-1 success rates, on the same images",
    "order": 165,
}


def check(evidence: Evidence) -> list[Verdict]:
    """Check smoothed against plain targeted attacks in equal steps, on all black-box cells."""
    rows = evidence.experiment.attacks
    targeted = [pair for pair in of_equal_steps(evidence.experiment) if rows[pair[0]].targeted]

    def top1(smoothed: str, plain: str) -> list[OutcomePair]:
        cells = evidence.common(smoothed, plain)
        return [(evidence.hits[source, smoothed, to], evidence.hits[source, plain, to]) for source, to in cells]

    return contrast_of_papers(evidence, targeted, top1, lambda smoothed, plain: f"{smoothed} against {plain}")
