"""Gain of samples up to thirty against the gain of more."""

import itertools

import numpy as np

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._lines import lines_along
from crossfool.report.claims._verdict import Verdict, joined_unique, judged_values

CLAIM = {
    "statement": "Samples beyond thirty add less success than those up to thirty.",
    "section": "section 7.2, figure 4a",
    "test": "sign-flip test over images of the gain from the fewest samples to 30, less that from 30 to the most",
    "order": 95,
}
SATURATED = 30  # the paper: "the benefit starts to saturate after m >= 30"


def check(evidence: Evidence) -> list[Verdict]:
    """Check the gain up to the least m of 30 or more against the gain from there to the largest m."""
    values, contrasts = [], []
    for line in itertools.chain(*lines_along(evidence.experiment, "samples")):
        samples = sorted(m for m in line if m)
        middle = next((m for m in samples if m >= SATURATED), None)
        if middle is None or not samples[0] < middle < samples[-1]:
            continue
        for cell in evidence.cells(line[middle]):
            few, some, many = (
                evidence.success(cell[0], line[m], cell[1]).astype(float) for m in (samples[0], middle, samples[-1])
            )
            values.append((some - few) - (many - some))
            contrasts.append(f"m = {samples[0]:g} to {middle:g} against {middle:g} to {samples[-1]:g}")
    return judged_values(np.mean(values, 0), len(values), joined_unique(contrasts)) if values else []
