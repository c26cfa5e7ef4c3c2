"""Smoothed against plain gradients from each source to each target by itself."""

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._counterparts import smoothed_against_plain_by_part
from crossfool.report.claims._verdict import Verdict

CLAIM = {
    "statement": "Smoothed gradients make every attack transfer better from every source to every target.",
    "section": "section 7.3, tables 3 to 6",
    "test": "paired test of both success rates in each cell by itself, on the same images: the largest p of all",
    "order": 134,
}


def check(evidence: Evidence) -> list[Verdict]:
    """Check each smoothed attack against each of its counterparts, from each source to each black-box target.

    Where one source has one target, cells are attacks, and no claim beside that on attacks is made.
    """
    if len({cell for attack in evidence.experiment.attacks for cell in evidence.cells(attack)}) < 2:
        return []
    return smoothed_against_plain_by_part(
        evidence,
        lambda smoothed, plain, source, target: f"{smoothed} against {plain} from {source} to {target}",
        "cells",
    )
