"""The multiple that one mean success is of another, on the same images, held against a given multiple."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from crossfool.stats.mean_difference import agreeing
from crossfool.stats.paired_tests import exact_sign_flip_p


@dataclass(frozen=True)
class Ratio:
    """The multiple that the mean of `first` is of that of `second`.

    Attributes:
        first, second: Shares of 1 (N,), one an image.
        against: The multiple that it is held against.
        value: The multiple; a second mean of 0 counts as half an image.
        p: Two-sided p of the exact sign-flip test that the mean of first - against · second is 0.
    """

    first: np.ndarray
    second: np.ndarray
    against: float
    value: float
    p: float

    def interval(self, p: float) -> tuple[float, float | None]:
        """The 95% interval by Fieller's theorem; its upper end is None where no multiple is too large.

        Args:
            p: The p of the verdict: where it is below 0.05 the interval excludes `against`, and only there.
        """
        from scipy.stats import t

        n = len(self.first)
        if n < 2:
            return 0.0, None
        quantile = float(t.ppf(0.975, n - 1)) ** 2 / n
        (first_variance, covariance), (_, second_variance) = np.cov(self.first, self.second)
        mean, other = float(self.first.mean()), float(self.second.mean())
        # all r whose (mean - r other)² is at most t² Var(first - r second) / N: a r² - 2 b r + c <= 0
        a, b, c = (
            other**2 - quantile * second_variance,
            mean * other - quantile * covariance,
            mean**2 - quantile * first_variance,
        )
        root = b**2 - a * c
        if a <= 0 or root < 0:
            return 0.0, None
        low, high = (float((b + sign * np.sqrt(root)) / a) for sign in (-1, 1))
        ends = agreeing(low - self.against, high - self.against, self.value - self.against, p, 1e-6)
        return max(0.0, ends[0] + self.against), ends[1] + self.against


def ratio(first: Sequence[np.ndarray], second: Sequence[np.ndarray], against: Fraction) -> Ratio:
    """The multiple that the mean of the first outcomes is of that of the second ones, held against a multiple.

    Args:
        first, second: Outcomes (N,) bool of some cells each, at least one, on the same images.
        against: The multiple.
    """
    won, others_won = (np.sum(cells, 0, dtype=int) for cells in (first, second))
    difference = against.denominator * len(second) * won - against.numerator * len(first) * others_won
    share, other = won / len(first), others_won / len(second)
    value = float(share.mean()) / max(float(other.mean()), 0.5 / len(other))
    return Ratio(share, other, float(against), value, exact_sign_flip_p(difference))
