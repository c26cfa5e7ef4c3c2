"""By how much one outcome exceeds another on the same images: points, interval and p. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crossfool.stats import intervals
from crossfool.stats.paired_tests import Pair, contrast, mcnemar


@dataclass(frozen=True)
class Difference:
    """By how many percent points the first exceeds the second.

    Attributes:
        points: First less second.
        low, high: 95% interval; None where it has no width.
        p: Two-sided.
        adjusted: p by Holm's method, for all that stand with it.
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
    found = contrast(pairs)
    interval = intervals.mean(np.mean([a.astype(float) - b for a, b in pairs], 0))
    low, high = (None, None) if interval is None else (100 * min(max(end, -1.0), 1.0) for end in interval)
    return Difference(found.points, low, high, found.p)
