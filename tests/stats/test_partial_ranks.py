"""Partial rank correlation: against the formula of three correlations, and how often its test errs."""

import numpy as np
import pytest

from crossfool.stats.paired_tests import spearman_rho
from crossfool.stats.partial_ranks import partial_rank_correlation


@pytest.mark.parametrize("n", [5, 7, 12])
def test_the_correlation_is_the_formulas(n: int) -> None:
    x, y, z = np.random.default_rng(n).random((3, n))
    xy, xz, yz = (spearman_rho(*pair) or 0.0 for pair in ((x, y), (x, z), (y, z)))
    found = partial_rank_correlation(x, y, z)
    assert found is not None and found[0] == pytest.approx((xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2)))
    assert 0 < found[1] <= 1


def test_what_the_third_value_explains_is_no_correlation() -> None:
    size = np.arange(8.0)
    assert partial_rank_correlation(size, -size, size) is None
    assert partial_rank_correlation(np.arange(3.0), np.arange(3.0), np.ones(3)) is None
    alone = partial_rank_correlation(np.arange(5.0), np.arange(5.0) ** 2, np.ones(5))
    assert alone == (pytest.approx(1), pytest.approx(2 / 120))  # nothing is held fixed: one of 5! orders a tail


def test_the_test_errs_in_no_more_than_5_percent() -> None:
    """Residuals that are permuted and not freed of the third value again err in 9%."""
    random, errors = np.random.default_rng(0), 0
    for _ in range(600):
        size = random.normal(0, 1, 7)
        error, rate = size + random.normal(0, 1, 7), -size + random.normal(0, 1, 7)
        found = partial_rank_correlation(error, rate, size)
        errors += found is not None and found[1] < 0.05
    assert errors / 600 < 0.068
