"""Modules that a row names: what crafting by a row imports beyond what all rows do, in a process of its own."""

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from builders import ROOT

from crossfool.attacks import parts
from crossfool.attacks.config import Attack

CRAFT = "crossfool.pipeline.crafting.device_crafter"  # the module that crafts a cell's chunks
GRADIENTS = "crossfool.attacks.gradients"
FILES = [path for path in (ROOT / "crossfool/attacks/gradients").glob("*.py") if not path.stem.startswith("_")]
ESTIMATORS = {f"{GRADIENTS}.{path.stem}" for path in FILES} - {f"{GRADIENTS}.plain"}  # which some rows name
DI, ADAPTER = "crossfool.attacks.input_diversity", "crossfool.attacks.torchattack.adapter"
SMOOTHED = {"gradient": "smoothed", "samples": 2, "sigma": 15}
NEIGHBOURS = {"samples": 2, "radius": 9}
ROWS = {  # name -> keys of the row, and the modules that it names
    "plain": ({}, ["plain"]),
    "smoothed": (SMOOTHED, ["smoothed"]),
    "varied": ({"gradient": "varied", **NEIGHBOURS}, ["varied"]),
    "relevant": ({"gradient": "relevant", **NEIGHBOURS}, ["relevant"]),
    "scaled": ({"scales": 2}, ["plain", "_scaled"]),
    "convolved": ({"kernel": 3}, ["plain", "_convolved"]),
    "diverse": ({"diversity": 0.5}, ["plain", DI]),
    "method": ({"method": "torchattack/FGSM", "step_size": 8, "steps": 1}, [ADAPTER]),
}
CRAFT_TWO_IMAGES = """
import json, sys
import torch
from crossfool.attacks.chunk import Chunk
from crossfool.attacks.config import Attack
from crossfool.models.inference.batch_size import Fit
from crossfool.pipeline.crafting import craft, device_crafter
row, cpu = Attack(**json.loads(sys.argv[1])), torch.device("cpu")
labels = torch.zeros(2, dtype=torch.int64)
chunk = Chunk(torch.full((2, 3, 8, 8), 100, dtype=torch.uint8), labels, labels, [4, 7])
craft.craft_in_batches([lambda x: x.flatten(1)[:, :5] / 255], row, chunk, Fit(2, cpu), name="made")
named = {name: module for name, module in sys.modules.items() if name.startswith("crossfool.")}
print(json.dumps([name for name, module in named.items() if not hasattr(module, "__path__")]))
"""


def row(name: str) -> Attack:
    return Attack(**{"epsilon": 8, "steps": 2, "step_size": 4} | ROWS[name][0])


def closure(*modules: str) -> set[str]:
    """Modules of the package that these import statically, at last, inside functions too; and they themselves."""
    found, waiting = set(modules), list(modules)
    while waiting:
        path = ROOT.joinpath(*waiting.pop().split(".")).with_suffix(".py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or not str(node.module).startswith("crossfool"):
                continue
            for alias in node.names:
                whole = ROOT.joinpath(*str(node.module).split("."), alias.name).with_suffix(".py")
                name = f"{node.module}.{alias.name}" if whole.is_file() else str(node.module)
                if name not in found and name != "crossfool":
                    found.add(name)
                    waiting.append(name)
    return found


@pytest.mark.parametrize("name", ROWS)
def test_a_row_imports_the_modules_that_it_names_and_no_others(name: str) -> None:
    if name == "method":
        pytest.importorskip("torchattack", reason="pip install --no-deps -r tests/requirements-peers.txt")
    named = parts.modules(row(name))
    assert list(named) == [part if "." in part else f"{GRADIENTS}.{part}" for part in ROWS[name][1]]
    command = [sys.executable, "-c", CRAFT_TWO_IMAGES, row(name).model_dump_json(exclude_defaults=True)]
    printed = subprocess.run(command, check=True, text=True, capture_output=True, cwd=ROOT).stdout
    imported, static = set(json.loads(printed)), closure(CRAFT, "crossfool.pipeline.crafting.craft")
    assert imported >= {*named, CRAFT}
    assert imported - static == closure(*named) - static
    assert imported & ESTIMATORS == set(named) & ESTIMATORS


def test_what_all_cells_depend_on_is_no_estimator_but_the_plain_one() -> None:
    static = closure("crossfool.pipeline.crafting.compute_cell", "crossfool.pipeline.workers.worker")
    assert static.isdisjoint(ESTIMATORS | {DI, ADAPTER, parts.SCALED, parts.CONVOLVED})
    assert {f"{GRADIENTS}.plain", "crossfool.attacks.update_rules"} <= static


def test_a_row_of_several_parts_names_them_all() -> None:
    several = Attack(epsilon=8, steps=2, step_size=4, **SMOOTHED, scales=2, kernel=3, diversity=0.5)
    assert parts.modules(several) == (f"{GRADIENTS}.smoothed", parts.CONVOLVED, DI)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_of_gradients_is_the_estimator_of_its_name(path: Path) -> None:
    assert path.stem in get_args(Attack.model_fields["gradient"].annotation)
    functions = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
    (made,) = [node for node in functions if node.name == "estimator"]
    assert ast.unparse(made.args) == "row: Attack, ids: Sequence[int], together: int"
    assert made.returns is not None and ast.unparse(made.returns) == "Estimate"


def test_a_module_that_the_row_does_not_name_is_not_loaded() -> None:
    with pytest.raises(AssertionError, match="_convolved is missing from the modules of the row"):
        parts.load(row("smoothed"), parts.CONVOLVED)
