"""Rank correlation of two values with a third held fixed, and its permutation test. Imports no torch."""

import itertools

import numpy as np

from crossfool.stats.paired_tests import RESAMPLES

EXACT_UP_TO = 7  # values whose orders are all taken: 5,040


def partial_rank_correlation(x: np.ndarray, y: np.ndarray, given: np.ndarray) -> tuple[float, float] | None:
    """Spearman's partial rank correlation of x and y (n,) given a third value, and its p, two-sided.

    The residuals of both ranks on the ranks of `given` are correlated; for p, those of y are permuted and freed of
    `given` again (Freedman and Lane, Journal of Business and Economic Statistics 1, 1983): in all orders up to n = 7,
    else in 9,999 seeded ones.

    Returns:
        Correlation and p; None where n is below 4, or nothing is left of x or y once `given` is taken out.
    """
    from scipy.stats import rankdata

    if len(x) < 4:
        return None
    control = rankdata(given) - (len(x) + 1) / 2
    spread = float(control @ control)
    control = control / np.sqrt(spread) if spread else control

    def freed(ranks: np.ndarray) -> np.ndarray:
        """Ranks (..., n) less their projection on those of `given`."""
        residuals: np.ndarray = ranks - (ranks @ control)[..., None] * control
        return residuals

    first, second = (freed(rankdata(values) - (len(x) + 1) / 2) for values in (x, y))
    if min(np.linalg.norm(first), np.linalg.norm(second)) < 1e-6:
        return None
    first = first / np.linalg.norm(first)
    if len(x) <= EXACT_UP_TO:
        orders = np.array(list(itertools.permutations(range(len(x)))))
    else:
        random = np.random.default_rng(0)
        orders = np.array([np.arange(len(x)), *(random.permutation(len(x)) for _ in range(RESAMPLES))])
    permuted = freed(second[orders])
    norms = np.linalg.norm(permuted, axis=1)
    correlations = (permuted @ first) / np.where(norms < 1e-6, np.inf, norms)
    found = float(second @ first) / float(np.linalg.norm(second))
    return found, float(np.mean(np.abs(correlations) >= abs(found) - 1e-9))
