"""Smoothed against plain gradients of ensembles."""

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._counterparts import of_equal_cost, of_equal_steps, of_neither, smoothed_against_plain
from crossfool.report.claims._verdict import Verdict

CLAIM = {
    "statement": "Smoothed gradients make attacks from ensembles transfer better.",
    "section": "section 7.3, table 4",
    "test": "paired test of both success rates, on the same images",
    "order": 160,
}


def check(evidence: Evidence) -> list[Verdict]:
    """Check all counterparts on the cells of ensembles."""
    kinds = (of_equal_cost, of_equal_steps, of_neither)
    counterparts = dict.fromkeys(pair for kind in kinds for pair in kind(evidence.experiment))
    return smoothed_against_plain(evidence, list(counterparts), lambda source: "+" in source)
