"""Samples at equal success, by hand and by simulation."""

from types import SimpleNamespace

import numpy as np
import pytest

from crossfool.attacks.config import Attack
from crossfool.experiment.results import sample_equivalence
from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.tables import samples


def evidence(hits: dict[str, np.ndarray], **rows: dict) -> Evidence:
    """Of one source and target."""
    attacks = {name: Attack(**(COMMON | row)) for name, row in rows.items()}
    experiment = SimpleNamespace(sources=("s",), models=("t",), attacks=attacks, row=attacks.__getitem__)
    return Evidence(experiment, {("s", name, "t"): one for name, one in hits.items()}, {}, {}, {}, {})


COMMON = {"epsilon": 8, "steps": 1, "step_size": 8, "gradient": "smoothed", "sigma": 15}
ROWS = {
    "g8": {"samples": 8},
    "g2": {"samples": 2},
    "g4": {"samples": 4},
    "anti": {"samples": 4, "noise": "antithetic"},
    "latin": {"samples": 2, "noise": "latin"},
    "other": {"samples": 2, "noise": "latin", "sigma": 30},
}


def first(count: int, n: int = 100) -> np.ndarray:
    return np.arange(n) < count


def test_worth_by_hand():
    hits = {
        "g2": first(20),
        "g4": first(40),
        "g8": first(50),
        "anti": first(45),
        "latin": first(20),
        "other": first(60),
    }
    anti, latin = sample_equivalence.sample_equivalence_rows(
        evidence(hits, **ROWS)
    )  # `other` has another sigma, and no Gaussian rows beside it
    assert (anti["attack"], anti["noise"], anti["samples"], anti["success"]) == ("anti", "antithetic", 4, 45.0)
    assert anti["worth"] == pytest.approx(32**0.5, abs=1e-4)  # half way between 4 and 8 by their logarithms
    assert latin["worth"] == 2.0 and (latin["cells"], latin["n"]) == (1, 100)
    assert list(anti) == [column.name for column in samples.COLUMNS]


def test_beyond_the_rows_there_is_no_number():
    hits = {"g2": first(20), "g4": first(40), "g8": first(50), "anti": first(60), "latin": first(10), "other": first(0)}
    anti, latin = sample_equivalence.sample_equivalence_rows(evidence(hits, **ROWS))
    assert (anti["worth"], anti["high"]) == (None, None) and (latin["worth"], latin["low"]) == (None, None)


def test_a_fall_between_rows_is_levelled():
    assert sample_equivalence._equal(0.4, np.array([2.0, 4, 8, 16]), np.array([0.2, 0.4, 0.3, 0.6])) == 4.0
    assert sample_equivalence._equal(0.5, np.array([2.0, 4, 8, 16]), np.array([0.2, 0.4, 0.3, 0.6])) == pytest.approx(
        128**0.5
    )


def test_the_interval_covers():
    """In 60 experiments of 400 images, whose true answer is known, the interval holds it in 95%, give or take."""
    draw, held = np.random.default_rng(1), 0
    for _ in range(60):
        levels = {"g2": 0.2, "g4": 0.4, "g8": 0.6, "anti": 0.5, "latin": 0.3, "other": 0.0}
        luck = draw.random(400)  # the same images are hard for all
        hits = {
            name: (0.5 * luck + 0.5 * draw.random(400)) < np.quantile(MIXED, level) for name, level in levels.items()
        }
        row = sample_equivalence.sample_equivalence_rows(evidence(hits, **ROWS))[0]
        held += row["low"] <= 32**0.5 <= (row["high"] or np.inf)
    assert held >= 52


MIXED = 0.5 * np.random.default_rng(2).random(200_000) + 0.5 * np.random.default_rng(3).random(200_000)


def test_no_family_no_rows():
    assert (
        sample_equivalence.sample_equivalence_rows(
            evidence({"g2": first(20), "anti": first(9)}, g2=ROWS["g2"], anti=ROWS["anti"])
        )
        == []
    )
