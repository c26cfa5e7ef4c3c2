"""Rivals at equal cost, by hand; and the paired tests against them, as agreement.json records them."""

import csv
import json
from pathlib import Path
from typing import Any

import made_evidence
import pytest
from made_experiments import FOOLED, SG, make, write_report

from crossfool.experiment.results import rivals
from crossfool.experiment.results.rivals import PairedTest

MIGSM = {"update": "momentum", "decay": 1.0}
ROWS: dict[str, dict[str, Any]] = {
    "mi10": {"epsilon": 4, "steps": 10, "step_size": 1, **MIGSM},
    "mi50": {"epsilon": 4, "steps": 50, "step_size": 1, **MIGSM},
    "mi300": {"epsilon": 4, "steps": 300, "step_size": 1, **MIGSM},
    "di10": {"epsilon": 4, "steps": 10, "step_size": 1, "diversity": 0.5, **MIGSM},
    "plain30": {"epsilon": 4, "steps": 30, "step_size": 1},
    "sg40": {"epsilon": 4, "steps": 8, "step_size": 1, "gradient": "smoothed", "samples": 5, "sigma": 15, **MIGSM},
    "wide": {"epsilon": 8, "steps": 10, "step_size": 1},
    "far": {"epsilon": 4, "steps": 10, "step_size": 1, "objective": "targeted"},
    "l2": {"epsilon": 4, "steps": 10, "step_size": 1, "norm": "l2"},
}
SUCCESS = {"mi10": 50, "mi50": 70, "mi300": 90, "di10": 60, "plain30": 40, "sg40": 70, "wide": 99, "far": 99, "l2": 99}


@pytest.mark.parametrize(
    ("attack", "found"),
    [
        ("mi10", {"best": "di10"}),  # itself is no rival
        ("di10", {"migsm": "mi10"}),
        ("plain30", {"best": "sg40", "migsm": "mi50"}),  # of equals the cheaper; momentum at the budget's full cost
        ("sg40", {"migsm": "mi50"}),
        ("mi50", {"best": "sg40"}),
        ("mi300", {}),  # beyond all budgets it is the best, and momentum alone
        ("wide", {}),  # another epsilon
        ("far", {}),  # another objective
        ("l2", {}),  # another norm
    ],
)
def test_rivals_cost_no_more_than_the_budget(attack: str, found: dict[str, str]) -> None:
    experiment = made_evidence.experiment(("resnet18", "vgg13_bn"), ("resnet18",), ROWS)
    assert rivals.find_rivals(experiment, SUCCESS, attack) == found


def test_budgets() -> None:
    assert [rivals.budget_of(count) for count in (1, 10, 11, 50, 200, 201)] == [10, 10, 50, 50, 200, None]


def test_momentum_alone_is_known_by_its_parts() -> None:
    rows = made_evidence.experiment(("resnet18", "vgg13_bn"), ("resnet18",), ROWS).attacks
    assert [name for name, row in rows.items() if rivals.is_migsm(row)] == ["mi10", "mi50", "mi300"]


def test_agreement_records_the_tests_of_the_pairs_table(tmp_path: Path) -> None:
    """sg succeeds on 2 of 8 images of each of three black-box cells, momentum on 21 of 24; far has no rivals."""
    momentum = {"epsilon": 40, "steps": 5, "step_size": 10, **MIGSM}
    attacks = {"migsm": momentum, "sg": SG, "far": {**SG, "objective": "targeted"}}
    fooled = {("fnn0", "migsm", "fnn2"): 7, ("fnn0", "migsm", "fnn4"): 6, ("fnn2+fnn0", "migsm", "fnn4"): 8}
    experiment = make(tmp_path, fooled, attacks=attacks)
    write_report(tmp_path, experiment, tmp_path / "report")
    with (tmp_path / "report/tables/pairwise.csv").open(encoding="utf-8") as file:
        (pair,) = csv.DictReader(file)
    difference, low, high, p, p_holm = (float(pair[key]) for key in ("difference", "low", "high", "p", "p_holm"))
    assert (pair["first"], pair["second"], difference) == ("migsm", "sg", pytest.approx(100 * (21 - 6) / 24, abs=1e-4))
    success = {"migsm": 87.5, "sg": 25.0, "far": 25.0}
    found = rivals.recorded_tests(tmp_path, success)
    assert found == {
        "migsm": {},
        "sg": {role: PairedTest("migsm", -difference, -high, -low, p, p_holm) for role in ("best", "migsm")},
        "far": {},
    }
    assert rivals.recorded_tests(tmp_path, success | {"migsm": 80.0})["sg"] == {}, "a test of other rates"
    record = json.loads((tmp_path / "agreement.json").read_text(encoding="utf-8"))
    for damaged in ({}, record | {"paired": None}, record | {"paired": {"sg": {"best": {"rival": "migsm"}}}}):
        (tmp_path / "agreement.json").write_text(json.dumps(damaged), encoding="utf-8")
        assert rivals.recorded_tests(tmp_path, success) == {}
    (tmp_path / "agreement.json").unlink()
    assert rivals.recorded_tests(tmp_path, success) == {}


def test_equal_attacks_have_no_negative_zero(tmp_path: Path) -> None:
    experiment = make(tmp_path, FOOLED, attacks={"a": SG, "b": {**SG, "sigma": 10}})
    write_report(tmp_path, experiment, tmp_path / "report")
    assert "-0.0" not in (tmp_path / "agreement.json").read_text(encoding="utf-8")
