"""Survival of image transforms, smoothed against plain gradients."""

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._counterparts import instances, not_of_the_paper, of_equal_steps
from crossfool.report.claims._destruction import survivals
from crossfool.report.claims._verdict import Verdict, contrast, joined_unique

CLAIM = {
    "statement": (
        "Adversarial images made by smoothed gradients survive image transforms better than those by plain ones."
    ),
    "section": "section 7.4, figure 5",
    "test": "paired test of both destruction rates, on the images that both attacks succeed on",
    "order": 170,
}


def check(evidence: Evidence) -> list[Verdict]:
    """Check that transforms destroy more of a plain attack than of its counterpart, on images that both succeed on."""
    found = list(survivals(evidence))
    left_out = instances(evidence.experiment, of_equal_steps(evidence.experiment))[1]
    if evidence.destroyed and left_out and not found and not evidence.empty:
        return [not_of_the_paper(evidence, left_out)]
    return contrast(
        [one.pair for one in found],
        joined_unique(one.attacks for one in found),
        "cells, transforms and levels",
        [one.counted for one in found],
    )
