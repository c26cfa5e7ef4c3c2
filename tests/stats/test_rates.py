"""Rates and intervals against hand-counted cases."""

import json
import math

import numpy as np
import pytest
from scipy.stats import binomtest

from crossfool.errors import UserError
from crossfool.pipeline.evaluation import success
from crossfool.stats import rates

# Five images. Answers of a target, the most probable class first.
TOP = np.array([[3, 1, 2, 4, 5], [0, 7, 8, 9, 6], [2, 0, 4, 1, 3], [9, 8, 7, 6, 5], [1, 2, 3, 4, 5]])
LABELS = np.array([3, 7, 4, 0, 1])
TARGETS = np.array([1, 0, 9, 9, 5])


def test_a_rate_by_hand() -> None:
    # Wilson (1927), equation by hand: 2 of 4, z = 1.959964: centre 1/2, half-width z sqrt(1/16 + z²/64) / (1 + z²/4)
    z = 1.959964
    half = 100 * z * math.sqrt(1 / 16 + z**2 / 64) / (1 + z**2 / 4)
    two = rates.wilson_rate(2, 4)
    assert (two.percent, two.n) == (50.0, 4)
    assert (two.low, two.high) == (pytest.approx(50 - half, abs=1e-3), pytest.approx(50 + half, abs=1e-3))


def test_a_rate_of_none_and_all() -> None:
    # at k = 0 the upper end is z² / (n + z²); at k = n it mirrors
    z2 = 1.959964**2
    none, every = rates.wilson_rate(0, 18), rates.wilson_rate(18, 18)
    assert (none.percent, none.low, every.percent, every.high) == (0.0, 0.0, 100.0, 100.0)
    assert none.high == pytest.approx(100 * z2 / (18 + z2), abs=1e-3)
    assert every.low == pytest.approx(100 - none.high, abs=1e-3)


def test_a_rate_has_four_decimals_and_no_negative_zero() -> None:
    assert rates.wilson_rate(1, 3).percent == 33.3333
    assert all("-" not in json.dumps(rates.wilson_rate(0, n).low) for n in range(1, 200))


def test_a_rate_over_nothing_is_an_error() -> None:
    with pytest.raises(UserError, match="no images"):
        rates.wilson_rate(0, 0)


def test_untargeted_success_is_another_answer_than_the_label() -> None:
    top1, top5 = success.success(TOP, LABELS, None)
    assert top1.tolist() == [False, True, True, True, False]
    assert top5.tolist() == [False, False, False, True, False]


def test_targeted_success_is_the_target() -> None:
    top1, top5 = success.success(TOP, LABELS, TARGETS)
    assert top1.tolist() == [False, True, False, True, False]
    assert top5.tolist() == [True, True, False, True, True]


def test_cell_metrics_by_hand() -> None:
    right = np.stack([LABELS, *[LABELS + 10 * k for k in (1, 2, 3, 4)]], 1)
    metrics = success.cell_metrics({"a": TOP, "ab": right}, LABELS, None, "b+ab")
    assert list(metrics) == ["a", "ab"]
    assert {key: metrics["a"][key] for key in ("top1", "top5", "n", "whitebox")} == {
        "top1": 60.0,
        "top5": 20.0,
        "n": 5,
        "whitebox": False,
    }
    assert (metrics["ab"]["top1"], metrics["ab"]["top5"], metrics["ab"]["whitebox"]) == (0.0, 0.0, True)
    assert (
        metrics["a"]["top1_low"] == rates.wilson_rate(3, 5).low
        and metrics["a"]["top5_high"] == rates.wilson_rate(1, 5).high
    )
    assert json.loads(json.dumps(metrics)) == metrics


def test_a_name_within_a_name_is_not_whitebox() -> None:
    metrics = success.cell_metrics({"resnet1": TOP, "resnet18": TOP}, LABELS, TARGETS, "resnet18")
    assert [metrics[name]["whitebox"] for name in ("resnet1", "resnet18")] == [False, True]
    assert (metrics["resnet1"]["top1"], metrics["resnet1"]["top5"]) == (40.0, 80.0)


def test_destruction_counts_only_what_fooled() -> None:
    fooled = np.array([True, True, True, True, False, False])
    right = np.array([True, False, False, False, True, True])
    assert success.destruction_rate(fooled, right) == {
        "rate": 25.0,
        "low": rates.wilson_rate(1, 4).low,
        "high": rates.wilson_rate(1, 4).high,
        "n": 4,
    }


def test_destruction_where_nothing_fooled_is_undefined() -> None:
    nothing = np.zeros(3, bool)
    assert success.destruction_rate(nothing, ~nothing) == {"rate": None, "low": None, "high": None, "n": 0}


def test_destruction_rates_by_hand() -> None:
    # four images of class 7; the target is fooled on the first three, and right again on one of them after blurring
    before = {"a": np.array([[1, 0, 0, 0, 0], [2, 0, 0, 0, 0], [3, 0, 0, 0, 0], [7, 0, 0, 0, 0]])}
    after = {("a", "blur", 0.5): np.array([7, 2, 1, 7]), ("a", "jpeg", 50.0): np.array([7, 7, 7, 1])}
    found = success.destruction_rates(before, after, np.full(4, 7))
    assert found["a"]["blur"]["0.5"]["rate"] == pytest.approx(100 / 3, abs=1e-4)
    assert found["a"]["blur"]["0.5"]["n"] == 3
    assert found["a"]["jpeg"]["50"]["rate"] == 100
    assert success.destruction_rates(before, {}, np.full(4, 7)) == {"a": {}}


def test_wilson_interval_is_scipys() -> None:
    for n in (1, 2, 3, 7, 16, 100, 5000):
        for successes in {0, 1, n // 3, n // 2, n - 1, n}:
            interval = binomtest(successes, n).proportion_ci(confidence_level=0.95, method="wilson")
            found = rates.wilson_rate(successes, n)
            assert (found.low, found.high) == (round(100 * interval.low, 4), round(100 * interval.high, 4))
