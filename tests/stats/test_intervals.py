"""Confidence intervals against published ones and numbers by hand."""

import numpy as np
import pytest

from crossfool.stats import intervals


def test_newcombes_interval_is_the_published_one() -> None:
    """Cavo et al. 2012 in Fagerland, Lydersen, Laake, Statistical Analysis of Contingency Tables (2017), chapter 8."""
    assert intervals.newcombe_from_counts(59, 6, 16, 80) == pytest.approx((-0.1186, -0.0046), abs=5e-5)


def test_newcombes_interval_by_hand() -> None:
    """All 16 succeed in both: Wilson is [16 / (16 + z^2), 1] for either, their correlation is none."""
    ends = intervals.newcombe_from_counts(16, 0, 0, 0)
    assert ends == pytest.approx((-(1 - 16 / (16 + 3.841459)), 1 - 16 / (16 + 3.841459)), abs=1e-6)
    # 5 and 5 that never differ: phi = (25 - 10/2) / 25 = 0.8; Wilson of 5 of 10 is 0.5 +- 0.263410
    half = 0.263410 * (2 - 2 * 0.8) ** 0.5
    assert intervals.newcombe_from_counts(5, 0, 0, 5) == pytest.approx((-half, half), abs=1e-5)


def test_newcombes_interval_turns_round_with_its_arguments() -> None:
    generator = np.random.default_rng(0)
    for n in (1, 2, 7, 40):
        a, b = generator.random((2, n)) < 0.6
        low, high = intervals.newcombe_interval(a, b)
        assert -1 <= low <= a.mean() - b.mean() <= high <= 1
        assert intervals.newcombe_interval(b, a) == pytest.approx((-high, -low))


def test_the_interval_of_a_mean_by_hand() -> None:
    """Mean 1/2, standard deviation 1/sqrt(3); t of 3 degrees of freedom is 3.182446 at 97.5%."""
    half = 3.182446 / 3**0.5 / 2
    assert intervals.mean_interval(np.array([0.0, 0, 1, 1])) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-6)
    assert intervals.mean_interval(np.array([0.25, 0.25])) is None and intervals.mean_interval(np.array([1.0])) is None
