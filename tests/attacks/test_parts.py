"""Modules that a row names: what crafting by a row imports beyond what all rows do, in a process or fork of its own."""

import ast
import json
import os
import subprocess
import sys

import pytest
import torch
from builders import ROOT
from forked_python import run_python

from crossfool.attacks import parts, words
from crossfool.attacks.config import Attack
from crossfool.attacks.inputs._views import ImageViews
from crossfool.attacks.types import Context
from crossfool.errors import UserError
from crossfool.experiment import plan

COMPOSING = {"crossfool.attacks.loop", "crossfool.attacks.compose"}
CRAFT = "crossfool.pipeline.crafting.device_crafter"  # the module that crafts a cell's chunks
ALL = {parts.module(kind, name) for kind in parts.FOLDERS for name in parts.names(kind)}
PLAIN, SIGN, LOSS = "gradients.plain", "updates.sign", "losses.cross_entropy"
SMOOTHED = {"gradient": "smoothed", "samples": 2, "sigma": 15}
NEIGHBOURS = {"samples": 2, "radius": 9}
MOMENTUM = {"update": "momentum", "decay": 1.0}
ROWS: dict[str, tuple[dict[str, object], list[str]]] = {  # name -> keys of the row, and the modules that it names
    "plain": ({}, [PLAIN, SIGN, LOSS]),
    "smoothed": (SMOOTHED, ["gradients.smoothed", "noise.gaussian", SIGN, LOSS]),
    "latin": ({**SMOOTHED, "noise": "latin"}, ["gradients.smoothed", "noise.latin", SIGN, LOSS]),
    "antithetic": ({**SMOOTHED, "noise": "antithetic"}, ["gradients.smoothed", "noise.antithetic", SIGN, LOSS]),
    "varied": ({"gradient": "varied", **NEIGHBOURS}, ["gradients.varied", "noise.uniform", SIGN, LOSS]),
    "relevant": ({"gradient": "relevant", **NEIGHBOURS}, ["gradients.relevant", "noise.uniform", SIGN, LOSS]),
    "maximin": (
        {"gradient": "maximin", **NEIGHBOURS, "reach": 2, "inner_decay": 0.9},
        ["gradients.maximin", "noise.uniform", SIGN, LOSS],
    ),
    "penalised": (
        {"gradient": "penalised", **NEIGHBOURS, "reach": 2, "balance": 0.5},
        ["gradients.penalised", "noise.uniform", SIGN, LOSS],
    ),
    "enhanced": ({"gradient": "enhanced", "samples": 2, "reach": 9}, ["gradients.enhanced", SIGN, LOSS]),
    "scaled": ({"scales": 2}, [PLAIN, "inputs.scales", SIGN, LOSS]),
    "convolved": ({"kernel": 3}, [PLAIN, "inputs.kernel", SIGN, LOSS]),
    "mixed": ({"admix": 1}, [PLAIN, "inputs.admix", SIGN, LOSS]),
    "shuffled": ({"bsr": 2}, [PLAIN, "inputs.bsr", SIGN, LOSS]),
    "in_blocks": ({"sia": 2}, [PLAIN, "inputs.sia", SIGN, LOSS]),
    "diverse": ({"diversity": 0.5}, [PLAIN, "inputs.diversity", SIGN, LOSS]),
    "logit": ({"loss": "logit", "fusion": "logits"}, [PLAIN, SIGN, "losses.logit"]),
    "margin": ({"loss": "margin"}, [PLAIN, SIGN, "losses.margin"]),
    "po_trip": ({"loss": "po_trip", "fusion": "logits", "objective": "targeted"}, [PLAIN, SIGN, "losses.po_trip"]),
    "momentum": (MOMENTUM, [PLAIN, "updates.momentum", LOSS]),
    "nesterov": ({"update": "nesterov", "decay": 1.0}, [PLAIN, "updates.nesterov", LOSS]),
    "initialised": (
        {"update": "initialised", "decay": 1.0, "warmup": 1, "search": 2},
        [PLAIN, "updates.initialised", LOSS],
    ),
    "raw": ({"update": "raw"}, [PLAIN, "updates.raw", LOSS]),
    "method": ({"method": "torchattack/FGSM", "step_size": 8, "steps": 1}, ["torchattack.adapter"]),
}
CRAFT_TWO_IMAGES = """
import json, sys
import numpy as np
import torch
from crossfool.attacks.chunk import Chunk, Pool
from crossfool.attacks.config import Attack
from crossfool.models.inference.batch_size import Fit
from crossfool.pipeline.crafting import craft, device_crafter
row, cpu = Attack(**json.loads(sys.argv[1])), torch.device("cpu")
images, labels = torch.full((2, 3, 8, 8), 100, dtype=torch.uint8), torch.arange(2)
chunk = Chunk(images, labels, labels, [4, 7], Pool(images.numpy(), labels.numpy(), np.array([4, 7])))
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


def modules(row: Attack) -> tuple[str, ...]:
    """Dotted names of the modules that a row names, as its plan has them."""
    return (parts.ADAPTER,) if row.method is not None else row.parts.modules


@pytest.mark.parametrize("name", ROWS)
def test_a_row_imports_the_modules_that_it_names_and_no_others(name: str) -> None:
    if name == "method":
        pytest.importorskip("torchattack", reason="pip install --no-deps -r tests/requirements-peers.txt")
    named = modules(row(name))
    assert list(named) == [f"crossfool.attacks.{part}" for part in ROWS[name][1]]
    command = ["-c", CRAFT_TWO_IMAGES, row(name).model_dump_json(exclude_defaults=True)]
    code, printed = run_python(command, ROOT, os.environ)
    assert code == 0, printed
    imported, static = set(json.loads(printed.splitlines()[-1])), closure(CRAFT, "crossfool.pipeline.crafting.craft")
    assert imported >= {*named, CRAFT}
    assert imported - static == closure(*named) - static
    assert imported & ALL == closure(*named) & ALL


def test_what_all_cells_depend_on_is_no_part() -> None:
    static = closure("crossfool.pipeline.crafting.compute_cell", "crossfool.pipeline.workers.worker", *COMPOSING)
    assert static.isdisjoint(ALL | {parts.ADAPTER})
    assert not [name for name in static if name.rpartition(".")[2].startswith("_") and ".attacks." in name]


def test_the_loop_does_not_concern_analyses_of_gradients() -> None:
    static = closure("crossfool.pipeline.gradient_analysis.analysis")
    assert static.isdisjoint(COMPOSING) and "crossfool.attacks.types" in static


def test_a_row_of_several_parts_names_them_all_in_the_order_of_their_application() -> None:
    several = Attack(epsilon=8, steps=2, step_size=4, **SMOOTHED, kernel=3, diversity=0.5, scales=2)
    names = ["gradients.smoothed", "noise.gaussian", "inputs.scales", "inputs.diversity", "inputs.kernel", SIGN, LOSS]
    assert several.parts.modules == tuple(f"crossfool.attacks.{name}" for name in names)


@pytest.mark.parametrize("kind", parts.FOLDERS)
def test_every_module_of_a_folder_is_a_part_in_words(kind: str) -> None:
    folder = ROOT / "crossfool/attacks" / parts.FOLDERS[kind]
    files = {path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")}
    assert set(parts.names(kind)) == files != set()
    for name, part in parts.every(kind).items():
        said = words.words(part)
        assert part.part_name() == name and part.cite and said.first and said.summary and said.formula
        assert said.meanings.keys() == part.model_fields.keys()
        assert set(part.smoke) <= part.model_fields.keys()
        assert kind != "input" or name in part.model_fields  # the key that a row has it by


def test_declarations_load_no_torch() -> None:
    code = (
        "import sys; from crossfool.attacks import parts; print(len([parts.every(kind) for kind in parts.FOLDERS])); "
        "print([name for name in ('torch', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, text=True, capture_output=True, cwd=ROOT)
    assert done.stdout == "5\n[]\n"


def test_a_row_loads_its_own_parts_alone() -> None:
    code = (
        "import sys; from crossfool.attacks.config import Attack; "
        "row = Attack(epsilon=8, steps=2, step_size=4, diversity=0.5, seed=3); row.gradient_evaluations; "
        "print([name for name in sys.modules if name.startswith('crossfool.attacks.') and name.count('.') == 3])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, text=True, capture_output=True, cwd=ROOT)
    loaded = {name for name in ast.literal_eval(done.stdout) if "torchattack" not in name}
    assert loaded == {f"crossfool.attacks.{name}" for name in (PLAIN, SIGN, LOSS, "inputs.diversity")}


def test_a_name_is_looked_up_and_never_imported_as_it_is() -> None:
    for name in ("../config", "_samples", "os", "", None, 3):
        with pytest.raises(UserError, match="unknown gradient"):
            parts.load("gradient", name)


def test_a_dash_in_a_name_is_an_underscore() -> None:
    assert parts.load("loss", "cross-entropy") is parts.load("loss", "cross_entropy")


def test_a_default_that_is_written_out_is_the_same_attack_by_other_words() -> None:
    short = Attack(epsilon=8, steps=2, step_size=4, **SMOOTHED)
    long = Attack(epsilon=8, steps=2, step_size=4, **SMOOTHED, noise="gaussian", loss="cross_entropy")
    assert (short.parts, short.has_later_parts) == (long.parts, long.has_later_parts) == (long.parts, False)


def test_the_text_of_a_row_is_what_metadata_of_first_results_hold() -> None:
    text = (
        '{"epsilon":16.0,"steps":4,"step_size":4.0,"gradient":"varied","samples":4,"seed":3,"update":"nesterov",'
        '"decay":1.0,"objective":"untargeted","fusion":"probabilities","radius":6.0,"diversity":0.5,"resize":0.8,'
        '"scales":5,"kernel":7,"record_steps":[1,2]}'
    )
    values = json.loads(text)
    for keys in (list(values), sorted(values), sorted(values, reverse=True)):
        row = Attack(**{key: values[key] for key in keys})
        assert row.model_dump_json(exclude_none=True) == text
        assert plan.plain(row) == plan.plain(Attack(**values))
        assert json.dumps(plan.plain(row)) == json.dumps(plan.plain(Attack(**values)))


def test_views_of_views_are_all_of_them() -> None:
    shifted = ImageViews(3, lambda x, i: x.roll(i, -1), lambda gradient, i: gradient.roll(-i, -1))
    halved = parts.load("input", "scales")(scales=2).views(Context([0]))
    both = shifted.then(halved)
    weights, x = torch.arange(5.0), torch.tensor([[1.0, 2.0, 4.0, 8.0, 16.0]])
    seen = [both.view(x, i) for i in range(both.count)]
    assert torch.equal(torch.cat(seen), torch.cat([x.roll(i, -1) / 2**k for i in range(3) for k in range(2)]))
    for together in (1, 4, 6):
        mean = both.mean_gradient(together)(lambda x: x @ weights, x)
        expected = sum(weights.roll(-i) / 2**k for i in range(3) for k in range(2)) / 6
        assert torch.equal(mean, expected[None])


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"gradient": "varied", "samples": 2, "noise": "gaussian", "sigma": 9}, ""),
        ({"gradient": "smoothed", "samples": 2, "noise": "uniform", "radius": 9}, ""),
        ({"gradient": "smoothed", "samples": 2, "noise": "uniform"}, "radius is missing; noise: uniform needs it"),
        ({"gradient": "varied", "samples": 2}, "radius is missing; gradient: varied needs it"),
        ({"gradient": "varied", "samples": 1, "noise": "antithetic", "sigma": 9}, "antithetic needs samples of at"),
    ],
)
def test_gradients_take_any_noise(keys: dict[str, object], message: str) -> None:
    if not message:
        row = Attack(epsilon=8, steps=2, step_size=4, **keys)
        assert row.draws_at_random and row.has_later_parts
        return
    with pytest.raises(ValueError, match=message):
        Attack(epsilon=8, steps=2, step_size=4, **keys)


def test_a_row_makes_its_parts_once_and_a_changed_copy_makes_its_own() -> None:
    row = Attack(epsilon=8, steps=4, step_size=2, **SMOOTHED)
    same, other = row.with_seed(3), row.model_copy(update={"samples": 5})
    assert row.parts is row.parts
    assert (row.parts.evaluations, same.parts.evaluations, other.parts.evaluations) == (2, 2, 5)
    assert row == Attack(epsilon=8, steps=4, step_size=2, **SMOOTHED) and "parts" not in row.model_dump()
