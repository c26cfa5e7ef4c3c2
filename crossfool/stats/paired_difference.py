"""The difference between two outcomes on the same images: percent points, interval and p. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass

from crossfool.stats.mean_difference import mean_difference_interval
from crossfool.stats.paired_tests import OutcomePair, compare_pairs


@dataclass(frozen=True)
class Difference:
    """The excess of a first outcome over a second, in percent points.

    Attributes:
        points: First less second.
        low, high: 95% interval; it excludes 0 where p is below 0.05, and only there.
        p: Two-sided.
        adjusted: p by Holm's method, for the number of differences in the same table.
    """

    points: float
    low: float
    high: float
    p: float
    adjusted: float = 1.0


def paired_difference(pair: OutcomePair) -> Difference:
    """The difference of one pair of outcomes, (N,) bool each: exact McNemar test, Newcombe's interval."""
    return pooled_difference([pair])


def pooled_difference(pairs: Sequence[OutcomePair]) -> Difference:
    """The mean difference of several pairs on the same images, at least one.

    Cells share their images, so that an image's differences are averaged first: the exact sign-flip permutation test
    (McNemar's for one pair), and `mean_difference_interval`, which agrees with it.
    """
    mean = compare_pairs(pairs)
    low, high = mean_difference_interval(pairs, mean.p)
    return Difference(mean.points, 100 * low, 100 * high, mean.p)
