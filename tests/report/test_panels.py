"""The paper's figures 1 and 8, whose dots have success rates and no names, on made results that are counted by hand."""

from typing import Any

import pytest
from builders import EMPTY

from crossfool.experiment.config import Experiment
from crossfool.experiment.results.metrics import Results
from crossfool.report.reported import published_panels

ATTACKS = {"one": {"epsilon": 15, "steps": 1, "step_size": 15}, "five": {"epsilon": 15, "steps": 5, "step_size": 5}}
MODELS = ["resnet18", "densenet121", "alexnet", "vgg16_bn", "vgg19_bn", "resnet152"]


def made(subset: dict[str, Any], success: dict[str, float], target: str = "vgg19_bn", attack: str = "one") -> Results:
    """Results of one attack's cells, source -> rate on a target."""
    values = EMPTY | {
        "root": ".",
        "dataset": {"name": "imagenet-sample"},
        "models": MODELS,
        "sources": list(success),
        "attacks": ATTACKS,
        "subset": subset,
        "training": None,
        "weights": {},
        "compute": {"chunk": 8},
        "transforms": {},
    }
    cells = {(source, attack): {target: {"top1": rate, "whitebox": False}} for source, rate in success.items()}
    other = {(source, name): {} for source in success for name in ATTACKS if name != attack}
    return Results(Experiment.model_validate(values), 100, {}, cells | other, {}, {}, {})


def test_the_panels_are_the_papers_text() -> None:
    found = {(panel.figure, panel.attack): panel.rates for panel in published_panels.panels()}
    assert {key: (len(rates), min(rates), max(rates)) for key, rates in found.items()} == {
        ("figure1", "igsm"): (10, 26.06, 53.76),
        ("figure1", "fgsm"): (9, 30.2, 42.0),
        ("figure8", "igsm"): (6, 7.62, 51.4),
        ("figure8", "fgsm"): (6, 10.6, 29.5),
    }
    assert found["figure8", "fgsm"].count(29.4) == 2  # a set with its repetitions


def test_a_panel_by_hand() -> None:
    # vgg16_bn is of the target's family, and left out; figure 1's FGSM values are 30.2 to 42.0, 327.8 in sum
    success = {"resnet18": 33.0, "densenet121": 39.0, "alexnet": 30.0, "vgg16_bn": 90.0}
    (row,) = published_panels.panel_rows(made({"images": "all"}, success))
    assert tuple(row) == published_panels.COLUMNS
    # 30.2, 31.5, 34.4, 35.9, 36.1, 37.3 lie in 30 to 39
    assert tuple(row.values()) == (
        *("figure1", "top1", "vgg19_bn", "one", 3, 34.0, 30.0, 39.0),
        *(9, pytest.approx(36.4222, abs=1e-4), 30.2, 42.0, pytest.approx(-2.4222, abs=1e-4), 6),
    )


def test_other_targets_attacks_and_images_have_no_panel() -> None:
    success = {"densenet121": 39.0}
    assert published_panels.panel_rows(made({"images": "all"}, success, attack="five")) == []
    assert published_panels.panel_rows(made({"images": "all"}, success, target="resnet18")) == []
    assert published_panels.panel_rows(made({"images": "all", "of": "all"}, success)) == []
    assert [row["figure"] for row in published_panels.panel_rows(made({"images": "all"}, success, "resnet152"))] == [
        "figure8"
    ]
