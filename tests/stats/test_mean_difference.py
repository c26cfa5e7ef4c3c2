"""The interval of a difference: Newcombe's for one cell, agreeing with the exact test, of the coverage it claims."""

import itertools

import numpy as np
import pytest

from crossfool.stats import intervals, mean_difference
from crossfool.stats.paired_difference import pooled_difference


def drawn(random: np.random.Generator, n: int, cells: int, rates: tuple[float, float], likeness: float):
    """Pairs of outcomes of so many cells: images differ in a chance that both attacks share."""
    ease = random.normal(0, 3 * likeness, n)
    chances = [1 / (1 + np.exp(-(np.log(rate / (1 - rate)) + ease))) for rate in rates]
    return [tuple(random.random(n) < chance for chance in chances) for _ in range(cells)], chances


@pytest.mark.parametrize("cells", [1, 2, 5])
@pytest.mark.parametrize("n", [6, 16, 60])
def test_the_interval_excludes_0_where_p_is_below_5_percent_and_only_there(n: int, cells: int) -> None:
    random, seen = np.random.default_rng(n + cells), set()
    for _ in range(60):
        rates = tuple(random.uniform(0.05, 0.95, 2))
        pairs, _ = drawn(random, n, cells, rates, random.choice([0.0, 0.5]))
        found = pooled_difference(pairs)
        excluded = found.low > 0 or found.high < 0
        assert excluded == (found.p < 0.05) and found.low <= found.points + 1e-9 and found.points - 1e-9 <= found.high
        seen.add(excluded)
    assert seen == {True, False}


def test_of_one_cell_it_is_newcombes() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        a, b = random.random(20) < 0.6, random.random(20) < 0.5
        ends = mean_difference.square_and_add(a.astype(float), b.astype(float), 1)
        assert ends == pytest.approx(intervals.newcombe_interval(a, b))


def test_an_interval_is_drawn_to_the_tests_side_of_0() -> None:
    # seven images one way of 16: p = 2/2^7; five of five: p = 2/2^5
    agreeing = mean_difference.agreeing
    assert (
        agreeing(-0.01, 0.5, 0.3, 0.04, 0.002) == (0.002, 0.5) and agreeing(-0.5, 0.01, -0.3, 0.04, 0.002)[1] == -0.002
    )
    assert agreeing(0.01, 0.5, 0.3, 0.06, 0.002) == (0.0, 0.5) and agreeing(0.1, 0.5, 0.3, 0.04, 0.002) == (0.1, 0.5)


def test_the_interval_covers_the_true_difference() -> None:
    random, found = np.random.default_rng(0), {}
    for n, cells, rates, likeness in itertools.product(
        (16, 100), (1, 6), ((0.5, 0.5), (0.9, 0.6), (0.3, 0.05)), (0, 0.5)
    ):
        covered = 0
        ease = np.random.default_rng(1).normal(0, 3 * likeness, 40_000)
        truth = np.subtract(*(np.mean(1 / (1 + np.exp(-(np.log(rate / (1 - rate)) + ease)))) for rate in rates))
        for _ in range(150):
            pairs, _ = drawn(random, n, cells, rates, likeness)
            interval = pooled_difference(pairs)
            covered += interval.low <= 100 * truth <= interval.high
        found[n, cells, rates, likeness] = covered / 150
    assert np.mean(list(found.values())) >= 0.95 and min(found.values()) >= 0.90
