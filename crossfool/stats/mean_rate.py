"""The 95% interval of a mean success rate over cells that share their images. Imports no torch.

One interval for every mean over cells: Wilson's, for the effective number of independent images. Cells share their
images, so that an image is the unit: the effective number of n images of k cells lies between n (all cells of an image
alike) and n k independent outcomes (Korn and Graubard, Survey Methodology 24, 1998).

- The effective number is n times the ratio of the binomial variance p(1 − p) to the variance of the images' shares.
- Both variances are taken with z²/2 images more that succeed in all cells and as many that fail in all (Agresti and
  Coull's, z = 1.96). So a variance near 0 or 100%, which a few images estimate badly, is drawn towards that of cells
  that are all alike: where all outcomes are equal, the effective number is n.
- It is multiplied by (z/t)², t being Student's quantile for n − 1 degrees of freedom, since the variance is estimated.
- It is never below n, so that the interval is never wider than Wilson's for n images, nor above n k.

Where there is one cell, the interval is Wilson's. `benchmarks/interval_coverage.py` simulates its coverage.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crossfool.stats.rates import Z, wilson_interval_of_share

PSEUDO_IMAGES = Z**2 / 2  # of either outcome


@dataclass(frozen=True)
class MeanRate:
    """A mean success rate over cells, in percent.

    Attributes:
        percent: The mean over cells and images.
        low, high: The 95% interval.
        cells: k, the number of cells.
        n: The number of images.
    """

    percent: float
    low: float
    high: float
    cells: int
    n: int


def mean_rate(outcomes: Sequence[np.ndarray]) -> MeanRate:
    """The mean of the outcomes of at least one cell, (N,) bool each, with its interval; rounded to 4 decimals."""
    cells, n = len(outcomes), len(outcomes[0])
    low, high = mean_rate_ends(np.mean(outcomes, 0), cells)
    percent, low_percent, high_percent = (round(100 * float(share), 4) for share in (np.mean(outcomes), low, high))
    return MeanRate(percent, low_percent, high_percent, cells, n)


def widest_mean_rate(percents: Sequence[float], n: int) -> MeanRate:
    """The mean of cells' rates in percent, each of the same n images, where outcomes of images are not known.

    The interval is the widest that `mean_rate` could give for that mean: Wilson's for n images.
    """
    mean = float(np.mean(percents))
    low, high = wilson_interval_of_share(min(max(mean / 100, 0.0), 1.0), n)
    return MeanRate(round(mean, 4), round(100 * low, 4), round(100 * high, 4), len(percents), n)


def mean_rate_ends(shares: np.ndarray, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """The ends of the interval of the mean of shares, in shares of 1.

    Args:
        shares: The share of its cells that each image succeeds in, (..., N); leading axes are separate experiments.
        cells: k, the number of cells.

    Returns:
        Low and high, (...) each.
    """
    mean = np.clip(shares.mean(-1), 0, 1)
    low, high = np.vectorize(wilson_interval_of_share)(mean, effective_images(shares, cells))
    return low, high


def effective_images(shares: np.ndarray, cells: int) -> np.ndarray:
    """Effective number of independent outcomes of the shares (..., N) of k cells, (...): from N to N k."""
    n = shares.shape[-1]
    if cells == 1 or n == 1:
        return np.full(shares.shape[:-1], float(n))
    total = n + 2 * PSEUDO_IMAGES
    mean = (shares.sum(-1) + PSEUDO_IMAGES) / total
    variance = ((shares**2).sum(-1) + PSEUDO_IMAGES) / total - mean**2
    worth: np.ndarray = n * mean * (1 - mean) / variance * (Z / _student_quantile(n - 1)) ** 2
    clipped: np.ndarray = np.clip(worth, n, n * cells)
    return clipped


@functools.lru_cache(maxsize=256)
def _student_quantile(freedom: int) -> float:
    """Student's 97.5% quantile; the normal one beyond a million degrees of freedom."""
    from scipy.stats import t

    return float(t.ppf(0.975, freedom)) if freedom < 1_000_000 else Z


def share_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """The correlation of two attacks' shares (N,), whose covariance is reduced by 1/(2 N), but not below 0.

    Newcombe's continuity correction of phi, for shares in place of single outcomes.
    """
    covariance = float(np.mean(first * second) - first.mean() * second.mean())
    if covariance > 0:
        covariance = max(0.0, covariance - 1 / (2 * len(first)))
    product = float(first.var() * second.var())
    return max(-1.0, covariance / math.sqrt(product)) if product > 0 else 0.0
