"""docs/files.md: its code scores a stored cell as the metrics do, and its tables name what a run's files hold."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from builders import ROOT
from made_cells import CPU, ROWS, cell, run
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from crossfool.attacks.config import Attack
from crossfool.models.inference.config import Compute
from crossfool.pipeline.evaluation import evaluate_cell, predict_clean
from crossfool.storage.tensors import TensorFile, write_tensors

PAGE = (ROOT / "docs/files.md").read_text(encoding="utf-8")
TARGETS = {"fnn0": "code", "fnn2": "code"}  # target -> hash of its code, for kept predictions


@pytest.fixture
def experiment(tmp_path: Path, subset: Path, fnn_weights: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three cells from fnn2, crafted and evaluated as the stages do."""
    for name in ("CROSSFOOL_ENGINE", "CROSSFOOL_WORKERS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CROSSFOOL_DEVICE", CPU.type)
    monkeypatch.chdir(tmp_path)
    write_tensors("data/lpips.safetensors", {})
    file = TensorFile(subset)
    write_tensors(
        "data/images.safetensors", {name: np.array(file[name]) for name in ("images", "labels")}, file.metadata
    )
    predict_clean.predict_clean("fnn0", Compute(chunk=4))
    for attack in ("migsm", "targeted", "takes"):
        run(cell(subset, fnn_weights, attack), fnn_weights, Path(f"adversarial/fnn2/{attack}.safetensors"))
        evaluate_cell.evaluate_cell(
            "fnn2",
            attack,
            Attack(**ROWS[attack]),
            targets=TARGETS,
            lpips=False,
            transforms={"rotation": (30.0,)},
            transform_hashes={"rotation": "code"},
            compute=Compute(chunk=4),
        )
    return tmp_path


def success_rate() -> Callable[..., float]:
    """The function of the page, as a reader would copy it."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert "crossfool" not in code
    defined: dict[str, Callable[..., float]] = {}
    exec(code, defined)
    return defined["success_rate"]


def network(name: str) -> nn.Module:
    """A network of weights/, built by torch alone."""
    state = load_file(f"weights/{name}.safetensors")
    hidden = []
    for layer in ("hidden.0", "hidden.2") if name == "fnn2" else ():
        hidden += [linear(state[f"{layer}.weight"], state[f"{layer}.bias"]), nn.ReLU()]
    return nn.Sequential(nn.Flatten(), *hidden, linear(state["output.weight"], state["output.bias"]))


def linear(weight, bias) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.load_state_dict({"weight": weight, "bias": bias})
    return layer


def test_the_code_of_the_page_gives_the_rates_of_the_metrics(experiment: Path) -> None:
    score, rates = success_rate(), set()
    for attack in ("migsm", "targeted", "takes"):
        metrics = json.loads((experiment / f"metrics/fnn2/{attack}.json").read_text(encoding="utf-8"))
        for target in TARGETS:
            rate = score(experiment, "fnn2", attack, network(target), mean=[0.1307], std=[0.3081])
            assert round(rate, 4) == metrics[target]["top1"], (attack, target)
            rates.add(rate)
    assert len(rates) > 2  # they are not all 0 or 100


def named(file: str) -> set[str]:
    """Tensors and columns that the page names for a file: the rows of the table from the file's to the next file's."""
    rows = [[entry.strip() for entry in line.split(" | ")] for line in PAGE.splitlines() if line.startswith("| ")]
    (first,) = [place for place, row in enumerate(rows) if row[0].strip("| ") == f"`{file}`"]
    group = [rows[first]]
    for row in rows[first + 1 :]:
        if row[0].strip("| "):
            break
        group.append(row)
    return {name for row in group for name in re.findall(r"`([a-z_0-9]+)`", row[1])}


def columns(path: str) -> set[str]:
    return set(pyarrow.parquet.read_table(path).column_names) - {"top2", "top3", "top4"}  # "`top1` to `top5`"


def test_the_page_names_what_the_files_hold(experiment: Path) -> None:
    with safe_open("adversarial/fnn2/takes.safetensors", "np") as file:
        assert set(file.keys()) == named("adversarial/<source>/<attack>.safetensors")
        keys = ("source", "attack", "params", "compute", "epsilon", "seed", "weights", "subset", "crossfool", "torch")
        assert set(file.metadata()) == {*keys, "takes", "sha256"} and all(f"`{key}`" in PAGE for key in keys)
    with safe_open("subset/images.safetensors", "np") as file:
        assert {*file.keys(), "right"} == named("subset/images.safetensors")
    assert columns("predictions/clean/fnn0.parquet") == named("predictions/clean/<model>.parquet")
    assert columns("predictions/fnn2/takes.parquet") == named("predictions/<source>/<attack>.parquet")
    assert columns("transformed/fnn2/takes.parquet") == named("transformed/<source>/<attack>.parquet")
    detail = json.loads(Path("metrics/fnn2/takes.detail.json").read_text(encoding="utf-8"))
    rates = json.loads(Path("metrics/fnn2/takes.json").read_text(encoding="utf-8"))["fnn0"]
    clean = json.loads(Path("metrics/clean/fnn0.json").read_text(encoding="utf-8"))
    described = {*detail, *detail["size"], *rates, *clean} - {"top5_low", "top5_high"}  # "the same for `top5`"
    assert [key for key in sorted(described) if f"`{key}`" not in PAGE] == []
