"""Rank correlation of two values with a third held fixed, and its permutation test. Imports no torch."""

import itertools

import numpy as np

from crossfool.stats.paired_tests import RESAMPLES

EXACT_UP_TO = 7  # values whose orders are all taken: 5,040


def partial_rank_correlation(x: np.ndarray, y: np.ndarray, given: np.ndarray) -> tuple[float, float] | None:
    """Spearman's partial rank correlation of x and y (n,) given a third value, and its p, two-sided.

    The residuals of both ranks on the ranks of `given` are correlated; for p, those of y are permuted (Freedman and
    Lane, Journal of Business and Economic Statistics 1, 1983): in all orders up to n = 7, else in 9,999 seeded ones.

    Returns:
        Correlation and p; None where n is below 4, or nothing is left of x or y once `given` is taken out.
    """
    from scipy.stats import rankdata

    if len(x) < 4:
        return None
    control = rankdata(given) - (len(x) + 1) / 2
    residuals = []
    for values in (x, y):
        ranks = rankdata(values) - (len(x) + 1) / 2
        spread = float(control @ control)
        residuals.append(ranks - (float(ranks @ control) / spread if spread else 0.0) * control)
    first, second = residuals
    norm = float(np.linalg.norm(first) * np.linalg.norm(second))
    if norm < 1e-9:
        return None
    found = float(first @ second)
    if len(x) <= EXACT_UP_TO:
        orders = np.array(list(itertools.permutations(range(len(x)))))
        return found / norm, float(np.mean(np.abs(second[orders] @ first) >= abs(found) - 1e-9))
    random = np.random.default_rng(0)
    sums = np.array([first @ random.permutation(second) for _ in range(RESAMPLES)])
    return found / norm, float((1 + (np.abs(sums) >= abs(found) - 1e-9).sum()) / (RESAMPLES + 1))
