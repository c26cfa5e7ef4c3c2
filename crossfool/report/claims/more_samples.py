"""Smoothed gradients of more samples against fewer."""

import itertools

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._lines import lines_along
from crossfool.report.claims._verdict import Verdict, contrast, joined_unique

CLAIM = {
    "statement": "Smoothed gradients of more samples transfer better.",
    "section": "section 7.2, figure 4a",
    "test": "paired test of both success rates, on the same images",
    "order": 90,
}


def check(evidence: Evidence) -> list[Verdict]:
    """Check the largest m against the smallest that is not 0."""
    pairs, contrasts = [], []
    for line in itertools.chain(*lines_along(evidence.experiment, "samples")):
        few, many = min(m for m in line if m), max(line)
        if few < many:
            pairs += evidence.against(line[many], line[few])
            contrasts.append(f"m = {many:g} against {few:g}")
    return contrast(pairs, joined_unique(contrasts))
