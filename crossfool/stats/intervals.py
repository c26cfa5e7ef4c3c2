"""95% intervals of the difference between two outcomes on the same images. Imports no torch."""

import math

import numpy as np

from crossfool.stats.rates import wilson_interval

Interval = tuple[float, float]


def newcombe_interval(a: np.ndarray, b: np.ndarray) -> Interval:
    """Newcombe's interval of the share of `a` less the share of `b`, both (N,) bool on the same N >= 1 images.

    In shares of 1. Newcombe's method 10: the square-and-add of the two Wilson intervals, with their correlation
    corrected for continuity. R. G. Newcombe, Improved confidence intervals for the difference between binomial
    proportions based on paired data, Statistics in Medicine 17 (1998), 2635-2650. The interval stays within -1 and 1,
    has a width where the two never differ, and is as good for 16 images as for 5,000.
    """
    both, first, second = int((a & b).sum()), int((a & ~b).sum()), int((~a & b).sum())
    return newcombe_from_counts(both, first, second, len(a) - both - first - second)


def newcombe_from_counts(both: int, first: int, second: int, neither: int) -> Interval:
    """Newcombe's interval from the numbers of images on which both succeed, the first or the second alone, neither."""
    n = both + first + second + neither
    assert n > 0
    p1, p2 = (both + first) / n, (both + second) / n
    (low1, high1), (low2, high2) = wilson_interval(both + first, n), wilson_interval(both + second, n)
    phi = _correlation(both, first, second, neither)
    down, up = _combined(p1 - low1, high2 - p2, phi), _combined(p2 - low2, high1 - p1, phi)
    return max(-1.0, p1 - p2 - down), min(1.0, p1 - p2 + up)


def _combined(x: float, y: float, phi: float) -> float:
    """The half-width of a difference, from those of its two terms and their correlation (square and add)."""
    return math.sqrt(max(0.0, x * x - 2 * phi * x * y + y * y))


def _correlation(both: int, first: int, second: int, neither: int) -> float:
    """The correlation phi of a 2x2 table; a positive numerator is reduced by n/2, but not below 0."""
    product = (both + first) * (second + neither) * (both + second) * (first + neither)
    numerator = float(both * neither - first * second)
    if numerator > 0:
        numerator = max(0.0, numerator - (both + first + second + neither) / 2)
    return numerator / math.sqrt(product) if product else 0.0


def mean_interval(values: np.ndarray) -> Interval | None:
    """Student's t interval of the mean of values (N,), one an image: mean +- t(N-1) s / sqrt(N).

    For cells pooled over sources and targets: cells share their images, so that the images are the independent units,
    and a value is an image's mean difference over the cells. None where the values do not vary: their interval would
    have no width.
    """
    from scipy.stats import t

    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    if not deviation > 1e-12:
        return None
    half_width = float(t.ppf(0.975, len(values) - 1)) * deviation / math.sqrt(len(values))
    return float(values.mean()) - half_width, float(values.mean()) + half_width
