"""The difference between two outcomes on the same images: percent points, interval and p. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crossfool.stats import intervals
from crossfool.stats.paired_tests import Pair, contrast, mcnemar


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


def paired(pair: Pair) -> Difference:
    """The difference of one pair of outcomes, (N,) bool each: Newcombe's interval, exact McNemar test."""
    low, high = intervals.newcombe(*pair)
    points = 100 * (float(pair[0].mean()) - float(pair[1].mean()))
    return Difference(points, 100 * low, 100 * high, mcnemar(*pair))


def pooled(pairs: Sequence[Pair]) -> Difference:
    """The mean difference of several pairs on the same images, at least one.

    Cells share their images, so that an image's differences are averaged first: Student's t interval over images, and
    the exact sign-flip permutation test.
    """
    if len(pairs) == 1:
        return paired(pairs[0])
    mean = contrast(pairs)
    interval = intervals.mean(np.mean([a.astype(float) - b for a, b in pairs], 0))
    low, high = (None, None) if interval is None else (100 * min(max(end, -1.0), 1.0) for end in interval)
    return Difference(mean.points, low, high, mean.p)
