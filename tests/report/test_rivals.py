"""Rivals of the leaderboard's rows at equal cost, by hand; and paired tests against them, from predictions in git."""

import csv
import dataclasses
from pathlib import Path
from typing import Any

import made_evidence
import numpy as np
import pytest
from made_experiments import FOOLED, SG, make, write_report

from crossfool.experiment import loading
from crossfool.experiment.results import equal_cost
from crossfool.report.leaderboard import boards, rivals
from crossfool.report.leaderboard.experiment_rows import BoardRow, _is_momentum_alone
from crossfool.stats.paired_tests import holm_adjusted, mcnemar_p

MOMENTUM = {"update": "momentum", "decay": 1.0}
COSTS = {"mi10": 10, "mi50": 50, "mi300": 300, "di10": 10, "plain30": 30, "sg40": 40}
SUCCESS = {"mi10": 50, "mi50": 70, "mi300": 90, "di10": 60, "plain30": 40, "sg40": 70}


def row(attack: str) -> BoardRow:
    return BoardRow(
        "one", attack, "untargeted", 4.0, SUCCESS[attack], 0.0, 100.0, COSTS[attack], 1.0, 100.0, None, "", attack,
        f"{attack}: {{}}", ("fnn0",), momentum_alone=attack.startswith("mi"), of_all=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("attack", "found"),
    [
        ("mi10", {"best": "di10"}),  # itself is no rival
        ("di10", {"migsm": "mi10"}),
        ("plain30", {"best": "sg40", "migsm": "mi50"}),  # of equals the cheaper; momentum at the budget's full cost
        ("sg40", {"migsm": "mi50"}),
        ("mi50", {"best": "sg40"}),
        ("mi300", {}),  # beyond all budgets it is the best, and momentum alone
    ],
)
def test_rivals_cost_no_more_than_the_budget(attack: str, found: dict[str, str]) -> None:
    opponents = rivals.find_rivals([row(name) for name in COSTS], row(attack))
    assert {role: rival.attack for role, rival in opponents.items()} == found


def test_budgets() -> None:
    assert [equal_cost.budget_of(count) for count in (1, 10, 11, 50, 200, 201)] == [10, 10, 50, 50, 200, None]


def test_momentum_alone_is_known_by_its_parts() -> None:
    common = {"epsilon": 4, "steps": 10, "step_size": 1}
    rows: dict[str, dict[str, Any]] = {
        "mi": {**common, **MOMENTUM},
        "di": {**common, **MOMENTUM, "diversity": 0.5},
        "plain": common,
        "sg": {**common, **MOMENTUM, "gradient": "smoothed", "samples": 5, "sigma": 15},
    }
    attacks = made_evidence.experiment(("resnet18", "vgg13_bn"), ("resnet18",), rows).attacks
    assert [name for name, attack in attacks.items() if _is_momentum_alone(attack)] == ["mi"]


def test_tests_of_one_experiment_are_those_of_its_table_of_pairs(tmp_path: Path) -> None:
    """sg succeeds on 2 of 8 images of each of three black-box cells, momentum on 21 of 24; far has no rivals."""
    momentum = {"epsilon": 40, "steps": 5, "step_size": 10, **MOMENTUM}
    attacks = {"migsm": momentum, "sg": SG, "far": {**SG, "objective": "targeted"}}
    fooled = {("fnn0", "migsm", "fnn2"): 7, ("fnn0", "migsm", "fnn4"): 6, ("fnn2+fnn0", "migsm", "fnn4"): 8}
    write_report(tmp_path, make(tmp_path, fooled, attacks=attacks), tmp_path / "report")
    with (tmp_path / "report/tables/pairwise.csv").open(encoding="utf-8") as file:
        (pair,) = csv.DictReader(file)
    found, _ = boards.read_boards(tmp_path)
    near, far = found
    difference = pytest.approx(-100 * (21 - 6) / 24)
    assert (pair["first"], pair["second"]) == ("migsm", "sg") and near.tests[".", "migsm"] == {}
    for role in ("best", "migsm"):
        test = near.tests[".", "sg"][role]
        assert test.difference == difference == -float(pair["difference"])
        assert [test.low, test.high] == pytest.approx([-float(pair["high"]), -float(pair["low"])], abs=1e-3)
        assert [test.p, test.p_holm] == pytest.approx([float(pair["p"]), float(pair["p_holm"])])
    assert far.tests == {(".", "far"): {}}


def test_rows_of_two_experiments_are_paired_on_the_same_images(tmp_path: Path) -> None:
    """Predictions alone tell: the folders of images are not there."""
    one_cell = {"models": ("fnn0", "fnn2"), "sources": ("fnn0",), "transforms": {}}
    for name, attack, hits in (("a", "migsm", 7), ("b", "sg", 3), ("c", "other", 5)):
        attacks = {attack: {"epsilon": 40, "steps": 5, "step_size": 10, **(MOMENTUM if name == "a" else {})}}
        make(tmp_path / "experiments" / name, {("fnn0", attack, "fnn2"): hits}, attacks=attacks, **one_cell)
        paths = ("subset/images.safetensors", "weights/fnn0.safetensors", "weights/fnn2.safetensors")
        outs = "".join(f"    - {{path: {path}, md5: same}}\n" for path in paths)
        (tmp_path / "experiments" / name / "dvc.lock").write_text(f"stages:\n  some:\n    outs:\n{outs}")
        for images in ("subset", "adversarial"):
            (tmp_path / "experiments" / name / images).rename(tmp_path / f"{name}-{images}")
    (board,), _ = boards.read_boards(tmp_path)
    succeeded = np.arange(8)[:, None] < (7, 3, 5)  # (8 images, 3 rows)
    pairs = [mcnemar_p(succeeded[:, i], succeeded[:, j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    test = board.tests["b", "sg"]["best"]
    assert (test.difference, test.p, test.p_holm) == (
        -50.0,
        pytest.approx(pairs[0]),
        pytest.approx(holm_adjusted(pairs)[0]),
    )
    assert board.tests["c", "other"]["migsm"].difference == -25.0 and board.tests["a", "migsm"] == {}
    (tmp_path / "experiments/a/predictions/fnn0/migsm.parquet").unlink()
    (board,), _ = boards.read_boards(tmp_path)
    assert board.tests == {("a", "migsm"): {}, ("b", "sg"): {}, ("c", "other"): {}}


def test_images_that_not_all_models_get_right_are_not_counted(tmp_path: Path) -> None:
    experiment = make(tmp_path, FOOLED)
    whole = boards.read_boards(tmp_path)[0][0].rows[0]
    assert not whole.of_all and len(next(iter(rivals.read_outcomes(tmp_path, whole).values()))) == 8
    (tmp_path / "subset/images.safetensors").unlink()
    assert rivals.read_outcomes(tmp_path, whole) and not rivals.read_outcomes(
        tmp_path, dataclasses.replace(whole, of_all=True)
    )
    assert loading.load_experiment(tmp_path / "params.yaml").sources == experiment.sources
