"""Smoothed against plain gradients at each epsilon by itself."""

import itertools

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._every import every
from crossfool.report.claims._lines import lines_along
from crossfool.report.claims._verdict import Verdict, joined_unique
from crossfool.stats.paired_tests import OutcomePair

CLAIM = {
    "statement": "Smoothed gradients transfer better than plain ones at every epsilon.",
    "section": "section 7.2, figure 4a",
    "test": "paired test of both success rates at each epsilon by itself, on the same images: the largest p of all",
    "order": 80,
}


def check(evidence: Evidence) -> list[Verdict]:
    """Check the most samples against the plain gradient at each epsilon, a mean over sources and targets."""
    pairs_at: dict[float, list[OutcomePair]] = {}
    contrasts = []
    for line in itertools.chain(*lines_along(evidence.experiment, "samples")):
        if 0 in line:
            epsilon = evidence.experiment.row(line[0]).epsilon
            pairs_at.setdefault(epsilon, []).extend(evidence.against(line[max(line)], line[0]))
            contrasts.append(f"m = {max(line):g} against the plain gradient")
    parts = {f"epsilon {epsilon:g}": pairs for epsilon, pairs in sorted(pairs_at.items()) if pairs}
    return [every(parts, joined_unique(contrasts), "epsilons")] if parts else []
