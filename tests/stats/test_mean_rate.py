"""The one interval of a mean success rate over cells: Wilson's at its limits, monotone, of the coverage it claims."""

import importlib
import itertools

import numpy as np
import pytest
from builders import ROOT

from crossfool.stats import mean_rate, rates

CASES = [(16, 7), (20, 3), (112, 6), (5, 2)]


def outcomes(n: int, cells: int, successes: int) -> list[np.ndarray]:
    """Outcomes (n,) of each cell: so many successes, those of an image together."""
    return list((np.arange(n * cells) < successes).reshape(n, cells).T)


@pytest.mark.parametrize(("n", "cells"), CASES)
def test_all_or_nothing_is_no_wider_than_its_neighbour(n: int, cells: int) -> None:
    """All of 112 gave [80.6, 100] where 111 of 112 gave [97.2, 100]."""
    full = n * cells
    for whole, neighbour in ((full, full - 1), (0, 1)):
        wide, near = (mean_rate.mean_rate(outcomes(n, cells, count)) for count in (whole, neighbour))
        assert wide.high - wide.low <= near.high - near.low
        end = rates.wilson_interval(whole // cells, n)
        assert (wide.low, wide.high) == pytest.approx([100 * at for at in end], abs=1e-4)


@pytest.mark.parametrize(("n", "cells"), CASES)
@pytest.mark.parametrize("seed", range(3))
def test_a_success_more_lowers_neither_end(n: int, cells: int, seed: int) -> None:
    """Cell by cell in any order, and image by image."""
    order = np.random.default_rng(seed).permutation(n * cells) if seed else np.arange(n * cells)
    hits, ends = np.zeros(n * cells, bool), []
    for place in order:
        hits[place] = True
        rate = mean_rate.mean_rate(list(hits.reshape(n, cells).T))
        ends.append((rate.low, rate.high))
    assert (np.diff(ends, axis=0) >= -1e-3).all()


@pytest.mark.parametrize("successes", [0, 1, 8, 16])
def test_one_cell_and_cells_that_are_alike_are_wilsons(successes: int) -> None:
    hits = np.arange(16) < successes
    expected = [100 * end for end in rates.wilson_interval(successes, 16)]
    for cells in (1, 5):
        rate = mean_rate.mean_rate([hits] * cells)
        assert (rate.low, rate.high) == pytest.approx(expected, abs=1e-4)
        assert (rate.percent, rate.cells, rate.n) == (100 * successes / 16, cells, 16)
    widest = mean_rate.widest_mean_rate([100 * successes / 16] * 2, 16)
    assert (widest.low, widest.high) == pytest.approx(expected, abs=1e-4)
    assert (widest.cells, widest.n) == (2, 16)


def test_never_wider_than_wilsons_for_n_images_nor_narrower_than_for_all_outcomes() -> None:
    random = np.random.default_rng(0)
    for n, cells, mean in itertools.product((4, 16, 200), (2, 9), (0.05, 0.4, 0.97)):
        for likeness in (0.01, 0.5):
            chances = random.beta(mean / likeness, (1 - mean) / likeness, n)
            hits = list(random.random((cells, n)) < chances)
            rate, share = mean_rate.mean_rate(hits), float(np.mean(hits))
            widths = [np.subtract(*rates.wilson_interval_of_share(share, count)[::-1]) for count in (n, n * cells)]
            assert widths[1] - 1e-5 <= (rate.high - rate.low) / 100 <= widths[0] + 1e-5


def test_cells_that_are_independent_count_almost_as_images_do() -> None:
    random = np.random.default_rng(1)
    shares = (random.random((2000, 4)) < 0.4).mean(1)
    assert 7000 < mean_rate.effective_images(shares, 4) <= 8000
    assert mean_rate.effective_images(np.repeat(shares[:500].round(), 4), 4) == 2000


def test_the_interval_covers_the_true_rate_in_at_least_94_percent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A coarse grid, seeded; of one cell it is Wilson's, whose coverage swings from point to point, so its mean counts.

    With 2,000 draws a point that covers in 95% falls below 93.5% by chance once in a thousand.
    """
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    coverage = importlib.import_module("interval_coverage")
    random = np.random.default_rng(0)
    grid = itertools.product((16, 60, 400), (1, 3, 20), (0.02, 0.2, 0.5, 0.95), (0.0, 0.3, 0.7))
    found = {point: coverage.simulate(*point, 2000, random)[0] for point in grid}
    big = {(5000, cells, mean, 0.3): coverage.simulate(5000, cells, mean, 0.3, 300, random)[0]
           for cells in (3, 20) for mean in (0.02, 0.5)}  # fmt: skip
    several = [share for point, share in found.items() if point[1] > 1]
    assert min(several) >= 0.935 and np.mean(several) >= 0.95, min(found, key=lambda point: found[point])
    assert sum(share < 0.94 for share in several) <= 3
    assert np.mean([share for point, share in found.items() if point[1] == 1]) >= 0.94
    assert np.mean(list(big.values())) >= 0.94 and min(big.values()) >= 0.91
