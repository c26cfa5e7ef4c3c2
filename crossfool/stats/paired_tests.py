"""Paired tests over images: sign flips, McNemar, Holm, and rank correlation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

RESAMPLES = 9_999
WORK = 300_000_000  # additions of an exact permutation test, beyond which it is made by a Fourier transform
Pair = tuple[np.ndarray, np.ndarray]  # one cell's outcome on each image and another's, (N,) each


@dataclass(frozen=True)
class Contrast:
    """By how much the first of each pair exceeds the second.

    Attributes:
        points: Mean over images of the mean over pairs, in percent points.
        p: Of its being 0.
        comparisons: Pairs.
        ahead: Pairs whose first is the greater over all images.
        images: That at least one pair counts.
    """

    points: float
    p: float
    comparisons: int
    ahead: int
    images: int


def contrast(pairs: Sequence[Pair], counted: Sequence[np.ndarray] | None = None) -> Contrast:
    """Compare the first of each pair with the second, image by image.

    Args:
        pairs: Outcomes (N,), bool or shares of 1; at least one pair.
        counted: The images that each pair counts, (N,) bool; all where not given.

    Returns:
        With the exact McNemar test where there is one pair of bools, else the sign-flip permutation test: exact where
        every image has the same number of pairs of bools, as `paired` does it where not.
    """
    n = len(pairs[0][0])
    masks = [np.ones(n, bool)] * len(pairs) if counted is None else counted
    total, count, ahead = np.zeros(n), np.zeros(n, int), 0
    for (a, b), mask in zip(pairs, masks, strict=True):
        difference = np.where(mask, a.astype(float) - b, 0.0)
        total, count, ahead = total + difference, count + mask, ahead + int(difference.sum() > 0)
    some = count > 0
    mean = total[some] / count[some]
    a, b = pairs[0]
    whole = all(one.dtype == bool for pair in pairs for one in pair)
    if whole and len(pairs) == 1:
        p = mcnemar(a[some], b[some])
    else:
        p = flipped(total[some].astype(int)) if whole and len(set(count[some])) == 1 else paired(mean)
    return Contrast(100 * float(mean.mean()), p, len(pairs), ahead, len(mean))


def mcnemar(a: np.ndarray, b: np.ndarray) -> float:
    """p of the exact McNemar test that two outcomes on the same images, (N,) bool, are equally frequent."""
    from scipy.stats import binomtest

    first, second = int((a & ~b).sum()), int((b & ~a).sum())
    return float(binomtest(first, first + second).pvalue) if first + second else 1.0


def flipped(difference: np.ndarray) -> float:
    """p of the sign-flip permutation test that whole-numbered differences (N,) have mean 0; exact.

    The sum's distribution over all 2^N choices of signs is made image by image, which holds for the smallest p, too;
    where that would take more than `WORK` additions, from its characteristic function, within 1e-12. No p is below
    that, nor below the chance of the two choices that give the sum its greatest size, or what a float holds.
    """
    sizes, total = np.sort(np.abs(difference[difference != 0])), abs(int(difference.sum()))
    most, least = int(sizes.sum()), 2.0 ** max(1 - len(sizes), -1022)
    if len(sizes) * most > WORK:
        angles = 2 * np.pi * np.arange(most + 1) / (2 * most + 1)
        waves, least = np.ones(most + 1), 1e-12
        for size, count in zip(*np.unique(sizes, return_counts=True), strict=True):
            waves *= np.cos(size * angles) ** count
        chances = np.fft.fftshift(np.fft.irfft(waves, 2 * most + 1))  # of sums from -most to most
    else:
        chances = np.ones(1)  # of sums from -k to k
        for size in sizes:
            more = np.zeros(len(chances) + 2 * size)
            more[: len(chances)] += chances / 2
            more[2 * size :] += chances / 2
            chances = more
    sums = np.abs(np.arange(len(chances)) - len(chances) // 2)
    return min(1.0, max(least, float(chances[sums >= total].sum())))


def paired(difference: np.ndarray) -> float:
    """p of the sign-flip permutation test that differences (N,) have mean 0; exact for up to 13 that are not 0.

    A difference of 0 is the same under either sign and is left out, which changes no p.
    """
    difference = difference[difference != 0]
    if len(difference) < 2:
        return 1.0  # either sign of a single one is as likely
    return _permuted(difference, lambda x, axis: x.sum(axis), "samples")


def rho(x: Any, y: Any) -> float | None:
    """Spearman's rank correlation of two sequences; None where one is constant."""
    from scipy.stats import spearmanr

    x, y = np.asarray(x, float), np.asarray(y, float)
    return float(spearmanr(x, y).statistic) if len(set(x)) > 1 and len(set(y)) > 1 else None


def ranked(x: np.ndarray, y: np.ndarray) -> float:
    """p of the permutation test that the ranks of x and y, (n,) each, are independent; exact for up to 7."""
    from scipy.stats import rankdata

    ranks = rankdata(y) - (len(y) + 1) / 2
    return _permuted(rankdata(x), lambda x, axis: (x * ranks).sum(axis), "pairings")


def holm(p_values: Sequence[float]) -> list[float]:
    """p values adjusted for their number by Holm's step-down method, in the order given."""
    adjusted, least = [1.0] * len(p_values), 0.0
    for place, at in enumerate(np.argsort(p_values, kind="stable")):
        least = max(least, min(1.0, (len(p_values) - place) * float(p_values[at])))
        adjusted[at] = least
    return adjusted


def _permuted(values: np.ndarray, statistic: Any, kind: str) -> float:
    """scipy's p, of a seeded draw where there are too many permutations to take all; in some 100 MB of memory."""
    from scipy.stats import permutation_test

    found = permutation_test(
        (values,),
        statistic,
        permutation_type=kind,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, 1_000_000 // len(values)),
        random_state=np.random.default_rng(0),
    )
    return float(found.pvalue)


LEVEL = 0.05
