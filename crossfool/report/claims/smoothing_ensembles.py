"""Smoothed against plain gradients of ensembles."""

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._counterparts import of_any_kind, smoothed_against_plain
from crossfool.report.claims._verdict import Verdict

CLAIM = {
    "statement": "Smoothed gradients make attacks from ensembles transfer better.",
    "section": "section 7.3, table 4",
    "test": "paired test of both success rates, on the same images",
    "order": 160,
}


def check(evidence: Evidence) -> list[Verdict]:
    """Check all counterparts on the cells of ensembles."""
    return smoothed_against_plain(evidence, of_any_kind(evidence.experiment), lambda source: "+" in source)
