"""The difference between two outcomes on the same images: percent points, interval and p. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crossfool.stats import intervals
from crossfool.stats.paired_tests import OutcomePair, compare_pairs, mcnemar_p


@dataclass(frozen=True)
class Difference:
    """The excess of a first outcome over a second, in percent points.

    Attributes:
        points: First less second.
        low, high: 95% interval; None where it has no width.
        p: Two-sided.
        adjusted: p by Holm's method, for the number of differences in the same table.
    """

    points: float
    low: float | None
    high: float | None
    p: float
    adjusted: float = 1.0


def paired_difference(pair: OutcomePair) -> Difference:
    """The difference of one pair of outcomes, (N,) bool each: Newcombe's interval, exact McNemar test."""
    low, high = intervals.newcombe_interval(*pair)
    points = 100 * (float(pair[0].mean()) - float(pair[1].mean()))
    return Difference(points, 100 * low, 100 * high, mcnemar_p(*pair))


def pooled_difference(pairs: Sequence[OutcomePair]) -> Difference:
    """The mean difference of several pairs on the same images, at least one.

    Cells share their images, so that an image's differences are averaged first: Student's t interval over images, and
    the exact sign-flip permutation test.
    """
    if len(pairs) == 1:
        return paired_difference(pairs[0])
    mean = compare_pairs(pairs)
    interval = intervals.mean_interval(np.mean([a.astype(float) - b for a, b in pairs], 0))
    low, high = (None, None) if interval is None else (100 * min(max(end, -1.0), 1.0) for end in interval)
    return Difference(mean.points, low, high, mean.p)
