"""Our rates beside the paper's, on made results whose differences are counted by hand."""

from typing import Any

import made_evidence
import pytest

from crossfool.experiment.config import Experiment
from crossfool.experiment.results.metrics import Results
from crossfool.report.reported import paper_agreement

GRID = {"attack": {}, "epsilon": [15], "steps": [1, 5], "step_size": [5, 15], "samples": [0], "sigma": [0]}
GRID |= {"figure": {"x": "step_size", "lines": "steps"}}
ATTACKS = {
    "one": {"epsilon": 15, "steps": 1, "step_size": 15},  # FGSM and IGSM of the paper's table 1
    "five": {"epsilon": 15, "steps": 5, "step_size": 5},
    "other": {"epsilon": 14, "steps": 5, "step_size": 5},
}
TARGETED = {"epsilon": 20, "steps": 20, "step_size": 15, "objective": "targeted"}
MODELS = ("resnet18", "resnet101", "vgg13_bn")


def experiment(
    sources: tuple[str, ...] = ("resnet18",), models: tuple[str, ...] = MODELS, attacks: Any = None, grid: Any = None
) -> Experiment:
    return made_evidence.experiment(models, sources, attacks or ATTACKS, grids={"a": grid} if grid else None)


def rates(top1: float, top5: float = 5.0, whitebox: bool = False) -> dict[str, Any]:
    """A target's rates with intervals of 2 points to either side."""
    return {
        "top1": top1,
        "top1_low": top1 - 2,
        "top1_high": top1 + 2,
        "top5": top5,
        "top5_low": top5 - 2,
        "top5_high": top5 + 2,
        "n": 100,
        "whitebox": whitebox,
    }


def test_rows_by_hand() -> None:
    # table 1: from resnet18 to resnet101 36.9 / 43.4, to vgg13_bn 51.8 / 58.0
    success = {
        ("resnet18", "one"): {
            "resnet18": rates(99.0, whitebox=True),
            "resnet101": rates(38.0),
            "vgg13_bn": rates(50.0),
        },
        ("resnet18", "other"): {"resnet101": rates(40.0)},
    }
    found = paper_agreement.comparison_rows(Results(experiment(), 100, {}, success, {}, {}, {}))
    assert [tuple(row) for row in found] == [tuple(paper_agreement.COLUMNS)] * 2
    cells = [tuple(row.values()) for row in found]
    assert cells == [
        ("table1", "top1", "resnet18", "resnet101", "one", 38.0, 36.0, 40.0, 100, 36.9, 1.1, True),
        ("table1", "top1", "resnet18", "vgg13_bn", "one", 50.0, 48.0, 52.0, 100, 51.8, -1.8, True),
    ]


def test_cells_of_grids_count_by_their_parameters() -> None:
    grid = experiment(grid=GRID)
    names = list(grid.grids.cells())  # steps 1 and 5, each with step sizes 5 and 15: the first of steps 5 is IGSM
    swept = {("resnet18", name): {"resnet101": rates(40.0)} for name in names}
    found = paper_agreement.comparison_rows(Results(grid, 100, {}, {}, swept, {}, {}))
    assert [(row["attack"], row["paper"], row["difference"], row["within"]) for row in found] == [
        (names[1], 36.9, 3.1, False),
        (names[2], 43.4, -3.4, False),
    ]


def test_targeted_ensembles_have_both_metrics() -> None:
    # tables 7 and 4: 11.6 and 28.1, whatever the order of the members
    one = experiment(("densenet121+resnet101",), ("densenet121", "resnet101", "resnet152"), {"far": TARGETED})
    success = {("densenet121+resnet101", "far"): {"resnet152": rates(10.0, 30.5)}}
    found = paper_agreement.comparison_rows(Results(one, 100, {}, success, {}, {}, {}))
    assert {(row["metric"], row["paper"], row["ours"], row["difference"], row["within"]) for row in found} == {
        ("top1", 11.6, 10.0, -1.6, True),
        ("top5", 28.1, 30.5, 2.4, False),
    }


def made(*pairs: tuple[float, float]) -> list[dict[str, Any]]:
    """Rows of `COLUMNS` as far as summaries read them; our intervals reach two points to either side."""
    return [
        {"ours": ours, "paper": paper, "difference": ours - paper, "within": abs(ours - paper) <= 2}
        for ours, paper in pairs
    ]


def test_a_summary_by_hand() -> None:
    # differences +1, -4, +1; ranks 1, 3, 2 against 1, 2, 3: rho = 1 - 6 (0 + 1 + 1) / 24
    assert paper_agreement.agreement_summary(made((11, 10), (46, 50), (31, 30))) == {
        "cells": 3,
        "within": 2,
        "mean_absolute_difference": 2.0,
        "mean_difference": pytest.approx(-0.6667),
        "rank_correlation": 1.0,
    }
    assert paper_agreement.agreement_summary(made((11, 10), (46, 20), (31, 30)))["rank_correlation"] == 0.5


def test_a_summary_of_few_or_equal_cells_has_no_rank_correlation() -> None:
    assert paper_agreement.agreement_summary(made((1, 2), (3, 4)))["rank_correlation"] is None
    assert paper_agreement.agreement_summary(made((1, 2), (1, 4), (1, 5)))["rank_correlation"] is None
    empty = {
        "cells": 0,
        "within": 0,
        "mean_absolute_difference": None,
        "mean_difference": None,
        "rank_correlation": None,
    }
    assert paper_agreement.agreement_summary([]) == empty
