"""Paired tests over images (sign flips, McNemar), adjustment for their number (Holm), and rank correlation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

SIGNIFICANCE_LEVEL = 0.05  # p below which a difference is significant
RESAMPLES = 9_999
SMALLEST_P = 2.0**-1022  # the smallest normal float: no p is 0
MAX_ADDITIONS = (
    300_000_000  # additions of an exact permutation test, beyond which a Fourier transform takes their place
)
OutcomePair = tuple[np.ndarray, np.ndarray]  # the outcomes of two cells on the same images, (N,) each


@dataclass(frozen=True)
class Contrast:
    """The mean excess of the first outcome of each pair over the second.

    Attributes:
        points: Mean over images of the mean over pairs, in percent points.
        p: Two-sided, of the hypothesis that it is 0.
        comparisons: Number of pairs.
        ahead: Number of pairs whose first outcome is the greater over all images.
        images: Number of images that at least one pair counts.
    """

    points: float
    p: float
    comparisons: int
    ahead: int
    images: int


def compare_pairs(pairs: Sequence[OutcomePair], counted: Sequence[np.ndarray] | None = None) -> Contrast:
    """Compare the first outcome of each pair with the second, image by image.

    The test is McNemar's exact test for one pair of bools, else the sign-flip permutation test: exact
    (`exact_sign_flip_p`) where all outcomes are bools and every image has the same number of pairs, else `sign_flip_p`.

    Args:
        pairs: Outcomes (N,), bool or shares of 1; at least one pair.
        counted: The images that each pair counts, (N,) bool; all where not given.
    """
    n = len(pairs[0][0])
    masks = [np.ones(n, bool)] * len(pairs) if counted is None else counted
    total, count, ahead = np.zeros(n), np.zeros(n, int), 0
    for (a, b), mask in zip(pairs, masks, strict=True):
        difference = np.where(mask, a.astype(float) - b, 0.0)
        total, count, ahead = total + difference, count + mask, ahead + int(difference.sum() > 0)
    used = count > 0
    mean = total[used] / count[used]
    a, b = pairs[0]
    all_bool = all(outcome.dtype == bool for pair in pairs for outcome in pair)
    if all_bool and len(pairs) == 1:
        p = mcnemar_p(a[used], b[used])
    elif all_bool and len(set(count[used])) == 1:
        p = exact_sign_flip_p(total[used].astype(int))
    else:
        p = sign_flip_p(mean)
    return Contrast(100 * float(mean.mean()), p, len(pairs), ahead, len(mean))


def mcnemar_p(a: np.ndarray, b: np.ndarray) -> float:
    """p of McNemar's exact test that two outcomes on the same images, (N,) bool, are equally frequent.

    Never 0: a p below the smallest normal float is that float.
    """
    from scipy.stats import binomtest

    first, second = int((a & ~b).sum()), int((b & ~a).sum())
    return max(float(binomtest(first, first + second).pvalue), SMALLEST_P) if first + second else 1.0


def exact_sign_flip_p(difference: np.ndarray) -> float:
    """p of the exact sign-flip permutation test that whole-numbered differences (N,) have mean 0.

    The sum's distribution over all 2^N choices of signs is computed image by image, which is exact for the smallest p,
    too. Where that would take more than `MAX_ADDITIONS` additions, it comes from its characteristic function,
    within 1e-12, and no p is below that. Nor is a p below the probability of the two choices of signs that give the
    sum its greatest size, or below the smallest normal float.
    """
    sizes, total = np.sort(np.abs(difference[difference != 0])), abs(int(difference.sum()))
    largest_sum, smallest_p = int(sizes.sum()), 2.0 ** max(1 - len(sizes), -1022)
    if len(sizes) * largest_sum > MAX_ADDITIONS:
        angles = 2 * np.pi * np.arange(largest_sum + 1) / (2 * largest_sum + 1)
        characteristic, smallest_p = np.ones(largest_sum + 1), 1e-12
        for size, count in zip(*np.unique(sizes, return_counts=True), strict=True):
            characteristic *= np.cos(size * angles) ** count
        # probabilities of the sums from -largest_sum to largest_sum
        probabilities = np.fft.fftshift(np.fft.irfft(characteristic, 2 * largest_sum + 1))
    else:
        probabilities = np.ones(1)  # of the sums from -k to k, where k is the sum of the sizes so far
        for size in sizes:
            wider = np.zeros(len(probabilities) + 2 * size)
            wider[: len(probabilities)] += probabilities / 2
            wider[2 * size :] += probabilities / 2
            probabilities = wider
    sums = np.abs(np.arange(len(probabilities)) - len(probabilities) // 2)
    return min(1.0, max(smallest_p, float(probabilities[sums >= total].sum())))


def sign_flip_p(difference: np.ndarray) -> float:
    """p of the sign-flip permutation test that differences (N,) have mean 0; exact for up to 13 that are not 0.

    A difference of 0 is the same under either sign and is left out, which changes no p.
    """
    difference = difference[difference != 0]
    if len(difference) < 2:
        return 1.0  # both signs of a single difference are equally likely
    return _permuted(difference, lambda x, axis: x.sum(axis), "samples")


def spearman_rho(x: Any, y: Any) -> float | None:
    """Spearman's rank correlation of two sequences; None where one is constant."""
    from scipy.stats import spearmanr

    x, y = np.asarray(x, float), np.asarray(y, float)
    return float(spearmanr(x, y).statistic) if len(set(x)) > 1 and len(set(y)) > 1 else None


def rank_permutation_p(x: np.ndarray, y: np.ndarray) -> float:
    """p of the permutation test that the ranks of x and y, (n,) each, are independent; exact for up to 7."""
    from scipy.stats import rankdata

    ranks = rankdata(y) - (len(y) + 1) / 2
    return _permuted(rankdata(x), lambda x, axis: (x * ranks).sum(axis), "pairings")


def holm_adjusted(p_values: Sequence[float]) -> list[float]:
    """Adjust p values for their number by Holm's step-down method; the order stays."""
    adjusted, largest = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        largest = max(largest, min(1.0, (len(p_values) - rank) * float(p_values[index])))
        adjusted[index] = largest
    return adjusted


def _permuted(values: np.ndarray, statistic: Any, kind: str) -> float:
    """p of scipy's permutation test, in some 100 MB of memory.

    Where there are too many permutations to take all, they are drawn with a fixed seed.
    """
    from scipy.stats import permutation_test

    result = permutation_test(
        (values,),
        statistic,
        permutation_type=kind,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, 1_000_000 // len(values)),
        random_state=np.random.default_rng(0),
    )
    return float(result.pvalue)
