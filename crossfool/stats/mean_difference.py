"""The 95% interval of a difference between two outcomes over cells that share their images. Imports no torch.

Newcombe's method 10 for paired proportions (Statistics in Medicine 17, 1998), whose two Wilson intervals are those of
`mean_rate`: for one cell it is Newcombe's own. It then says the same as the exact test of the difference
(`paired_tests`): where p is below 0.05, an end beyond 0 is drawn to just before 0; else the interval is widened to have
0 in it. Neither makes the interval miss more often than the exact test does.
"""

from collections.abc import Sequence

import numpy as np

from crossfool.stats.intervals import Interval
from crossfool.stats.mean_rate import mean_rate_ends, share_correlation
from crossfool.stats.paired_tests import SIGNIFICANCE_LEVEL, OutcomePair


def mean_difference_interval(pairs: Sequence[OutcomePair], p: float) -> Interval:
    """The interval of the mean excess of the first outcomes over the second, in shares of 1.

    Args:
        pairs: Outcomes (N,) bool of each cell, at least one.
        p: The exact test's.
    """
    first, second = (np.mean([pair[side] for pair in pairs], 0) for side in (0, 1))
    cells, n = len(pairs), len(first)
    low, high = square_and_add(first, second, cells)
    return agreeing(low, high, float(first.mean() - second.mean()), p, 1 / (2 * n * cells))


def square_and_add(first: np.ndarray, second: np.ndarray, cells: int) -> Interval:
    """Newcombe's square-and-add of the intervals of two shares (N,) of the same images and k cells."""
    p1, p2 = float(first.mean()), float(second.mean())
    low1, high1 = map(float, mean_rate_ends(first, cells))
    low2, high2 = map(float, mean_rate_ends(second, cells))
    phi = share_correlation(first, second)

    def combined(x: float, y: float) -> float:
        return float(np.sqrt(max(0.0, x * x - 2 * phi * x * y + y * y)))

    return max(-1.0, p1 - p2 - combined(p1 - low1, high2 - p2)), min(1.0, p1 - p2 + combined(p2 - low2, high1 - p1))


def agreeing(low: float, high: float, difference: float, p: float, least: float) -> Interval:
    """The interval, made to exclude 0 where p is below 0.05, and to have it in it elsewhere.

    Args:
        low: Lower end of the interval.
        high: Upper end of the interval.
        difference: The estimate, which is not 0 where p is below 0.05.
        p: The test's.
        least: Half the least difference that is not 0: the end next to 0 of an interval that excludes it.
    """
    if p >= SIGNIFICANCE_LEVEL:
        return min(low, 0.0), max(high, 0.0)
    if difference > 0:
        return max(low, min(least, difference)), high
    return low, min(high, max(-least, difference))
