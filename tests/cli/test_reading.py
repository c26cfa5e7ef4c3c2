"""Commands that read: JSON of each, the first steps, the order of `show`, sentences of `explain`, fetched weights."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from builders import ROOT
from command_line import told
from repositories import PARAMS

from crossfool.cli import check, show
from crossfool.cli.main import FIRST_STEPS, main
from crossfool.experiment import costs, loading, preflight
from crossfool.experiment.config import Experiment
from crossfool.experiment.dvc_status import Stage

READ = ("list", "check", "show", "compare", "explain", "score", "coverage")


def parsed(*arguments: str) -> Any:
    return json.loads(told(*arguments, "--json"))


def test_every_command_that_reads_has_json() -> None:
    with_json = {name for name, command in main.commands.items() if any("--json" in one.opts for one in command.params)}
    assert with_json == set(READ)


def test_without_arguments_the_first_steps_are_told() -> None:
    text = told()
    commands = re.findall(r"^  ((?:crossfool|dvc) \w+)", text, re.MULTILINE)
    assert commands == ["crossfool new", "dvc repro", "crossfool show"] and text == FIRST_STEPS + "\n"
    assert "crossfool --help" in text and "crossfool list" in text
    assert told("--help").startswith("Usage") and FIRST_STEPS not in told("--help")


def test_lists_as_json() -> None:
    found = parsed("list", "attacks", "--filter", "arXiv 1710.06081")
    assert found.keys() == {"attacks"} and {"name", "what", "source"} == found["attacks"][0].keys()
    assert {one["name"] for one in found["attacks"]} >= {"migsm", "update: momentum"}


def test_rates_as_json_are_those_of_the_metrics(small: Path) -> None:
    (found,) = parsed("show", str(small))
    assert found["folder"] == str(small) and "8 images" in found["images"]
    (rates,) = [table for table in found["tables"] if table["name"] == "fgsm-top1"]
    metrics = json.loads((small / "metrics/fnn0/fgsm.json").read_text())
    by_target = {row["target"]: row for row in rates["rows"] if row["source"] == "fnn0"}
    assert by_target.keys() == metrics.keys()
    assert all(by_target[target]["rate"] == rate["top1"] for target, rate in metrics.items())
    (named,) = parsed("show", str(small), "--table", "clean")[0]["tables"]
    assert named["name"] == "clean"


def test_the_attacks_by_success_come_before_each_pair_of_models(small: Path) -> None:
    text = told("show", str(small))
    places = [
        text.index(title) for title in ("Attacks by success", "Rows are sources", "fgsm: top-1", "Clean accuracy")
    ]
    assert places == sorted(places)
    assert show._order(("models", "rates", "ranking", "files")) == ["ranking", "rates", "models", "files"]


def test_a_comparison_as_json(small: Path) -> None:
    found = parsed("compare", "sg_fgsm", "fgsm", "--folder", str(small))
    assert (found["names"], found["metric"], found["images"]) == (["sg_fgsm", "fgsm"], "top1", 8)
    row = found["rows"][0]
    metrics = [json.loads((small / f"metrics/{row['source']}/{name}.json").read_text()) for name in found["names"]]
    assert [row["first"], row["second"]] == [one[row["target"]]["top1"] for one in metrics]
    assert row["difference"] == row["first"] - row["second"] and row["low"] <= row["difference"] <= row["high"]
    assert found["pooled"][0].keys() == {"attack", "cells", "same_files", "points", "low", "high", "p", "adjusted"}


def test_a_cell_as_json(small: Path) -> None:
    found = parsed("explain", "fnn0/sg_fgsm", "--folder", str(small))
    assert found["What"]["cell"] == "sg_fgsm from fnn0"
    assert told("explain", "fnn0/sg_fgsm", "--folder", str(small)).startswith(found["summary"])


def test_a_check_as_json() -> None:
    experiment = loading.load_experiment(ROOT / "experiments/depth-mnist/params.yaml")
    whole = costs.cost(experiment)
    left = replace(whole, gradients=1_000, passes=200)
    stages = (Stage("prepare", ("data/images.safetensors",), False, False, False),
              Stage("train", ("weights/fnn0.safetensors",), True, False, False, "never ran"))  # fmt: skip
    found = check.content(preflight.Preflight(experiment, stages, whole, left, left, 10**9, None, "images"), rate=50)
    assert json.loads(json.dumps(found)).keys() == found.keys()
    assert (found["gradients"], found["gradients_in_all"]) == (1_000, whole.gradients)
    assert found["seconds"] == pytest.approx((1_000 + 200 / 2) / 50 + costs.STAGE_SECONDS) and found["free"] == 10**9
    assert [(stage["kind"], stage["runs"], stage["why"]) for stage in found["stages"]] == [
        ("prepare", False, ""), ("train", True, "never ran")
    ]  # fmt: skip
    assert found["gradients_per_image"] == {name: row.gradient_evaluations for name, row in experiment.rows.items()}


@pytest.mark.parametrize(("model", "kind"), [("fnn0", "train"), ("efficientnet_lite0", "fetch weights")])
def test_published_weights_are_fetched_and_not_trained(model: str, kind: str) -> None:
    values = yaml.safe_load((ROOT / "params.yaml").read_text()) if model != "fnn0" else PARAMS
    stage = Stage("train", (f"weights/{model}.safetensors",), True, False, False)
    assert check._kind(stage, Experiment.model_validate(values)) == kind
