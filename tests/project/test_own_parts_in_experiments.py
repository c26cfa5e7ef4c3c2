"""Parts of attacks of the user's own, in `own/`: validation, plans, and what they compute."""

import json
import os
import re
import shutil
import textwrap
from pathlib import Path
from typing import Any

import yaml
from builders import DIGITS, ROOT
from forked_python import run_python

MINE = '''"""Gradient at an image that is moved to the right."""

from crossfool.attacks.part import GradientPart
from crossfool.config import Count

from ._moved import moved


class Part(GradientPart, smoke={"pixels": 2}):
    """Gradient of a moved image."""

    pixels: Count

    def estimator(self, context):
        from crossfool.attacks.backward import plain

        return lambda loss, x: moved(plain(loss, moved(x, self.pixels)), -self.pixels)
'''
MOVED = """def moved(x, pixels):  # (N,C,H,W)
    return x.roll(pixels, -1)
"""
LEAST = '''"""Minus the greatest log-probability."""

from crossfool.attacks.part import LossPart


class Part(LossPart):
    """Minus the greatest log-probability."""

    def loss(self, log_probabilities, labels, targeted):
        return lambda x: -log_probabilities(x).max(1).values
'''
ECHO = '''"""A gradient times a factor."""

from crossfool.attacks.part import InputPart


class Part(InputPart):
    """Gradient times a factor."""

    echo: float
    by: float = 1

    def gradient(self, gradient):
        return self.echo * self.by * gradient
'''
FILES = {"gradients/mine.py": MINE, "gradients/_moved.py": MOVED, "losses/least.py": LEAST, "inputs/echo.py": ECHO}
PAGE = (ROOT / "docs/your-own.md").read_text(encoding="utf-8")
EXAMPLE = textwrap.dedent(re.findall(r"^    ```python\n(.*?)^    ```$", PAGE, re.MULTILINE | re.DOTALL)[0])  # of a loss
LOOP = {"epsilon": 16, "steps": 3, "step_size": 4}
ATTACKS = {
    "moved": {**LOOP, "gradient": "mine", "pixels": 2},
    "least": {**LOOP, "loss": "least", "echo": 2, "by": 3},
    "igsm": LOOP,
}


def clone(folder: Path, files: dict[str, str]) -> Path:
    """A copy of the package with files in its folder `own/`."""
    shutil.copytree(ROOT / "crossfool", folder / "crossfool", ignore=shutil.ignore_patterns("__pycache__"))
    write(folder, files)
    return folder


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / "own" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def ask(folder: Path, code: str, *arguments: Any) -> Any:
    """Run code in a process that imports the copy of the package, and read the last line that it prints as JSON."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = ["-c", code, *map(json.dumps, arguments)]
    ended, text = run_python(command, folder, variables | {"CROSSFOOL_DEVICE": "cpu", "OMP_NUM_THREADS": "1"})
    assert ended == 0, text
    return json.loads(text.splitlines()[-1])


def params(attacks: dict[str, Any]) -> str:
    models = {"models": ["fnn0"], "sources": ["fnn0"], "attacks": attacks}
    return yaml.safe_dump({**DIGITS, "subset": {"images": 5}, "compute": {"chunk": 5}, **models})


PLANS = """
import json, sys
from pathlib import Path
from crossfool.cli import list as listing
from crossfool.experiment import descriptions, loading, plan_files
experiment = loading.parse_experiment(json.loads(sys.argv[1]), Path("params.yaml"))
print(json.dumps({
    "plans": plan_files.plan_texts(experiment),
    "titles": {name: descriptions.attack_summary(row) for name, row in experiment.attacks.items()},
    "costs": {name: row.gradient_evaluations for name, row in experiment.attacks.items()},
    "listed": {entry.name: [entry.what, entry.source] for entry in listing.attacks(Path())},
}))
"""


def test_an_edit_is_in_the_plans_of_its_cells_alone(tmp_path: Path) -> None:
    folder = clone(tmp_path, FILES)
    before = ask(folder, PLANS, params(ATTACKS))
    for file, text, changed in (
        ("gradients/mine.py", MINE.replace("-self.pixels", "0"), {"attack/moved"}),
        ("gradients/_moved.py", MOVED.replace("-1", "-2"), {"attack/moved"}),
        ("losses/least.py", LEAST.replace("-log", "2 * log"), {"attack/least"}),
        ("gradients/mine.py", MINE + "# a remark\n", set()),
        ("gradients/unused.py", "raise ValueError\n", set()),
    ):
        write(folder, {**FILES, file: text})
        after = ask(folder, PLANS, params(ATTACKS))["plans"]
        assert {name for name in after if after[name] != before["plans"][name]} == changed, file
    code = json.loads(before["plans"]["attack/moved"])["code"]
    assert {"attacks.gradients.mine", "attacks.gradients._moved", "attacks.backward"} <= code.keys()
    plain = {"igsm": LOOP}
    with_own = ask(folder, PLANS, params(plain))["plans"]
    shutil.rmtree(folder / "own")
    assert ask(folder, PLANS, params(plain))["plans"] == with_own

    assert before["costs"] == {"moved": 3, "least": 3, "igsm": 3}
    assert "gradient: mine, pixels: 2" in before["titles"]["moved"] and "echo: 2, by: 3" in before["titles"]["least"]
    listed = before["listed"]
    assert listed["gradient: mine"] == [
        "part: Gradient at an image that is moved to the right",
        "own/gradients/mine.py",
    ]
    assert listed["echo"] == ["part: A gradient times a factor", "own/inputs/echo.py"]


HEAD = "from crossfool.attacks.part import {0}\nclass Part({0}):\n"
GRADIENT, LOSS = HEAD.format("GradientPart"), HEAD.format("LossPart")
ESTIMATE = GRADIENT + "    def estimator(self, context):\n        return lambda loss, x: "
LOSS_OF = LOSS + "    def loss(self, source, labels, targeted):\n        return lambda x: "
WRONG = {
    "gradients/syntax.py": "def f(:\n",
    "gradients/raising.py": "x = 1\nraise OSError('no such thing')\n",
    "gradients/leaving.py": "exit()\n",
    "gradients/empty.py": "",
    "gradients/loss_part.py": LOSS + "    pass\n",
    "gradients/imported.py": "from crossfool.attacks.gradients.smoothed import Part\n",
    "gradients/my-part.py": GRADIENT + "    pass\n",
    "gradients/helped.py": "from . import _broken\n",
    "gradients/_broken.py": "1 / 0\n",
    "gradients/deep.py": "from ._inner import deeper\n",
    "gradients/_inner/__init__.py": "",
    "gradients/_inner/deeper.py": "",
    "inputs/keyless.py": HEAD.format("InputPart") + "    pass\n",
    "inputs/samples.py": HEAD.format("InputPart") + "    samples: int\n",
    "updates/momentum.py": HEAD.format("UpdatePart") + "    pass\n",
    "gradients/flat.py": ESTIMATE + "x.flatten(1)\n",
    "gradients/nothing.py": ESTIMATE + "None\n",
    "gradients/no_function.py": GRADIENT + "    def estimator(self, context):\n        pass\n",
    "gradients/not_a_number.py": ESTIMATE + "x / 0 - x / 0\n",
    "gradients/failing.py": ESTIMATE + "x[:, 7]\n",
    "losses/reduced.py": LOSS_OF + "source(x).mean()\n",
    "losses/root.py": LOSS_OF + "source(x).max(1).values.sqrt()\n",
    "losses/failing.py": LOSS_OF + "source(x) @ labels.float()[:1]\n",
    "noise/failing.py": HEAD.format("NoisePart")
    + "    def draw(self, ids, seed, samples):\n        raise KeyError(seed)\n",
}
MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"gradient": "mien"}, "attacks: row: unknown gradient 'mien'; did you mean mine?"),
    ({"gradient": "mine", "pixles": 2}, "unknown key of attacks.row 'pixles'; did you mean pixels"),
    ({"gradient": "mine"}, "attacks: row: pixels is missing; gradient: mine needs it"),
    ({"gradient": "mine", "pixels": 0}, "attacks: row: pixels is 0: input should be greater than or equal to 1"),
    ({"loss": "least", "pixels": 2}, "pixels is used only with gradient: mine, and here gradient is plain"),
    ({"ehco": 2}, "unknown key of attacks.row 'ehco'; did you mean echo"),
    ({"gradient": "syntax"}, "own/gradients/syntax.py: importing it raises SyntaxError: invalid syntax (syntax.py"),
    ({"gradient": "raising"}, "own/gradients/raising.py: importing it raises OSError: no such thing (line 2)"),
    ({"gradient": "leaving"}, "own/gradients/leaving.py: importing it calls exit (line 1)"),
    ({"gradient": "empty"}, "own/gradients/empty.py has no class Part(GradientPart); see docs/your-own.md"),
    ({"gradient": "loss_part"}, "own/gradients/loss_part.py has no class Part(GradientPart)"),
    ({"gradient": "imported"}, "own/gradients/imported.py has no class Part(GradientPart)"),
    ({"gradient": "my-part"}, "own/gradients/my-part.py: the name of a part's file has letters, digits and _"),
    ({"gradient": "_broken"}, "own/gradients/_broken.py: the name of a part's file has letters, digits and _"),
    ({"gradient": "helped"}, "own/gradients/helped.py: importing it: own/gradients/_broken.py raises ZeroDivision"),
    ({"gradient": "deep"}, "which no plan would know; put it beside the part as"),
    ({"keyless": 1}, "own/inputs/keyless.py: Part has no field keyless, the key by which a row has it; add it"),
    ({"gradient": "smoothed", "samples": 2, "sigma": 9}, "own/inputs/samples.py: samples is a key of another part"),
    ({"update": "momentum", "decay": 1}, "own/updates/momentum.py: momentum is the name of a part of the package"),
]  # fmt: skip
RUNS: list[tuple[dict[str, Any], str]] = [
    ({"gradient": "flat"}, "own/gradients/flat.py gives shape (2, 9), expected shape (2, 1, 3, 3), that of the images"),
    ({"gradient": "nothing"}, "own/gradients/nothing.py gives a NoneType, expected shape (2, 1, 3, 3)"),
    ({"gradient": "no_function"}, "own/gradients/no_function.py gives a NoneType, expected a function"),
    ({"gradient": "not_a_number"}, "own/gradients/not_a_number.py gives NaN"),
    ({"gradient": "failing"}, "own/gradients/failing.py: raises IndexError: index 7 is out of bounds"),
    ({"loss": "reduced"}, "own/losses/reduced.py gives shape (), expected shape (2,), a loss for each image"),
    ({"loss": "root"}, "own/losses/root.py gives NaN"),
    ({"loss": "failing"}, "own/losses/failing.py: raises RuntimeError: size mismatch"),
    ({"gradient": "smoothed", "samples": 2, "noise": "failing"}, "own/noise/failing.py: raises KeyError: 0 (line 4)"),
]  # fmt: skip
PARSE = """
import json, sys
from pathlib import Path
from crossfool.errors import UserError
from crossfool.experiment import loading
errors = []
for text in json.loads(sys.argv[1]):
    try:
        loading.parse_experiment(text, Path("params.yaml"))
        errors.append("")
    except UserError as error:
        errors.append(str(error))
print(json.dumps(errors))
"""
CRAFT = """
import json, pickle, sys
import torch
from crossfool import api
from crossfool.attacks.config import Attack
from crossfool.attacks.own_parts import errors_in_own_code
from crossfool.errors import UserError
torch.manual_seed(0)
network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(9, 6))
model = api.wrap_model(network, name="small", mean=[0], std=[255], side=3)
images, labels = torch.arange(18).reshape(2, 1, 3, 3) * 14, [1, 2]
results = []
for row in json.loads(sys.argv[1]):
    row = {"epsilon": 16, "steps": 3, "step_size": 4, **row}
    try:
        with errors_in_own_code():
            parts = Attack(**row).parts
            assert pickle.loads(pickle.dumps(Attack(**row))).parts == parts
            results.append(api.attack(model, images, labels, row).tolist())
    except UserError as error:
        results.append(str(error))

def by_hand(gradient):
    x = clean = images.float()
    for step in range(3):
        x = (x + 4 * gradient(x.clone().requires_grad_()).sign()).clamp(clean - 16, clean + 16).clamp(0, 255)
    return x.int().tolist()

def moved(x):
    loss = torch.nn.functional.cross_entropy(network(x.roll(2, -1) / 255), torch.tensor(labels), reduction="sum")
    return torch.autograd.grad(loss, x)[0]

def least(x):
    return -torch.autograd.grad(network(x / 255).log_softmax(1).max(1).values.sum(), x)[0]

def confidence(x):
    return -torch.autograd.grad(network(x / 255).softmax(1)[[0, 1], labels].sum(), x)[0]

print(json.dumps([results, by_hand(moved), by_hand(least), by_hand(confidence)]))
"""


def test_a_mistake_in_params_or_in_the_file_is_one_line(tmp_path: Path) -> None:
    folder = clone(tmp_path, FILES | WRONG)
    errors = ask(folder, PARSE, [params({"first": ATTACKS["moved"], "row": {**LOOP, **row}}) for row, _ in MISTAKES])
    assert not [(end, line) for line, (_, end) in zip(errors, MISTAKES, strict=True) if end not in line or "\n" in line]


def test_parts_compute_as_a_loop_by_hand_does_and_wrong_results_are_one_line(tmp_path: Path) -> None:
    folder = clone(tmp_path, FILES | WRONG | {"losses/confidence.py": EXAMPLE})
    (folder / "own/inputs/samples.py").unlink()
    rows = [{"gradient": "mine", "pixels": 2}, {"loss": "least"}, {"loss": "confidence"}, {"echo": -1, "by": 2}, {}]
    results, *by_hand = ask(folder, CRAFT, rows + [row for row, _ in RUNS])
    made, errors = results[: len(rows)], results[len(rows) :]
    assert made[:3] == by_hand
    assert len({json.dumps(images) for images in made}) >= 4  # the example goes the way of the cross-entropy
    assert not [(end, line) for line, (_, end) in zip(errors, RUNS, strict=True) if end not in line or "\n" in line]
