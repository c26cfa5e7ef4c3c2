"""Smoothed against plain gradients at every epsilon."""

import itertools

import numpy as np

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._lines import lines_along
from crossfool.report.claims._verdict import Verdict, judged
from crossfool.stats.mean_difference import mean_difference_interval
from crossfool.stats.paired_tests import OutcomePair, compare_pairs

CLAIM = {
    "statement": "Smoothed gradients transfer better than plain ones over all epsilons, and worse at none.",
    "section": "section 7.2, figure 4a",
    "test": "paired test of both success rates, on the same images; at no epsilon worse",
    "order": 80,
}


def check(evidence: Evidence) -> list[Verdict]:
    """Check the most samples against the plain gradient, pooled and at each epsilon."""
    pairs_at: dict[float, list[OutcomePair]] = {}
    for line in itertools.chain(*lines_along(evidence.experiment, "samples")):
        if 0 in line:
            epsilon = evidence.experiment.row(line[0]).epsilon
            pairs_at.setdefault(epsilon, []).extend(evidence.against(line[max(line)], line[0]))
    pairs_at = {epsilon: pairs for epsilon, pairs in pairs_at.items() if pairs}
    if not pairs_at:
        return []
    pooled = [pair for pairs in pairs_at.values() for pair in pairs]
    result = compare_pairs(pooled)
    below = sum(bool(smoothed.sum() < plain.sum()) for pairs in pairs_at.values() for smoothed, plain in pairs)
    points = {
        epsilon: 100 * float(np.mean([smoothed.mean() - plain.mean() for smoothed, plain in pairs]))
        for epsilon, pairs in pairs_at.items()
    }
    detail = f"below plain in {below} of {result.comparisons} (epsilon, source, target) cells; points at epsilon " + (
        ", ".join(f"{epsilon:g}: {gain:+.2f}" for epsilon, gain in sorted(points.items()))
    )
    sign = -1 if result.points < 0 else int(min(points.values()) >= 0 and result.points > 0)
    low, high = mean_difference_interval(pooled, result.p)
    return [
        judged(
            result.points,
            result.p,
            result.comparisons,
            result.images,
            detail,
            sign=sign,
            interval=(100 * low, 100 * high),
        )
    ]
