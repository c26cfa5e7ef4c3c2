"""Destruction rates pooled over pairs that share images."""

import numpy as np
import pytest

from crossfool.stats import clustered_rates, rates


def test_one_pair_has_wilsons_interval():
    fooled = np.array([1, 1, 1, 0, 1, 0])
    found = clustered_rates.clustered_rate(np.array([1, 0, 1, 0, 0, 0]), fooled)
    rate = rates.wilson_rate(2, 4)
    assert found == (rate.percent, rate.low, rate.high)


@pytest.mark.parametrize("pairs", [2, 5])
def test_copies_of_a_pair_tell_nothing_new(pairs):
    destroyed = np.arange(100) < 30
    share, low, high = clustered_rates.clustered_rate(pairs * destroyed.astype(int), np.full(100, pairs))
    rate = rates.wilson_rate(30, 100)
    assert share == rate.percent and (low, high) == pytest.approx((rate.low, rate.high), abs=0.1)
    for k in (0, 100):  # all, or none
        rate = rates.wilson_rate(k, 100)
        assert clustered_rates.clustered_rate(np.full(100, pairs * k // 100), np.full(100, pairs)) == (
            rate.percent,
            rate.low,
            rate.high,
        )


def test_independent_pairs_count_whole_and_no_more():
    draw = np.random.default_rng(0)
    destroyed = draw.binomial(3, 0.4, 2000)
    share, low, high = clustered_rates.clustered_rate(destroyed, np.full(2000, 3))
    rate = rates.wilson_rate(int(destroyed.sum()), 6000)
    assert (share, low, high) == pytest.approx((rate.percent, rate.low, rate.high), abs=0.15)
    assert low <= rate.low + 1e-4 and high >= rate.high - 1e-4


def test_the_interval_covers():
    """Images differ in how easily they are destroyed, and share it over five pairs: 95%, where counting pairs fails."""
    draw, held, naive = np.random.default_rng(1), 0, 0
    for _ in range(400):
        ease = draw.beta(0.3, 0.7, 40)
        fooled = draw.binomial(5, 0.7, 40)
        destroyed = draw.binomial(fooled, ease)
        _, low, high = clustered_rates.clustered_rate(destroyed, fooled)
        held += low <= 30 <= high
        counted = rates.wilson_rate(int(destroyed.sum()), int(fooled.sum()))
        naive += counted.low <= 30 <= counted.high
    assert 366 <= held <= 394 and naive < 330
