"""docs/contributing.md, done as it says: its attacks are added to a copy, tested there, and rows with their words."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from builders import ROOT

PAGE = (ROOT / "docs/contributing.md").read_text(encoding="utf-8")
MIRRORED = """
import torch
from crossfool.experiment import descriptions, formulas
from crossfool.attacks import compose
from crossfool.attacks.config import Attack
row = Attack(epsilon=6, steps=5, step_size=2, gradient="mirrored")
weights = torch.arange(4.0).view(1, 1, 2, 2)
estimated = compose.build_estimator(row, [0])(lambda x: (x * weights).sum((1, 2, 3)), torch.ones(1, 1, 2, 2))
assert estimated.flatten().tolist() == [0.5, 0.5, 2.5, 2.5]
formula = dict(formulas.update_facts(row, 1))["gradient"]
print(row.gradient_evaluations_per_seed, row.draws_at_random, descriptions.attack_summary(row), formula, sep="|")
try:
    Attack(epsilon=6, steps=5, step_size=2, gradient="mirrored", scales=2)
except ValueError as error:
    print("scales is used only with gradient" in str(error))
"""
POLLED = """
import torch
from crossfool.experiment import descriptions, formulas
from crossfool.attacks import compose, noise
from crossfool.attacks.config import Attack
row = Attack(epsilon=6, steps=5, step_size=2, gradient="polled", samples=4, sigma=15, noise="antithetic", seed=3)
x = torch.zeros(2, 1, 2, 2)
half = lambda x: x.square().sum((1, 2, 3)) / 2
drawn = noise.antithetic(noise.gaussian(3, [7, 2], 15.0))(0, x)
signs = [next(drawn).sign() for _ in range(4)]
assert torch.equal(compose.build_estimator(row, [7, 2], 3)(half, x), sum(signs) / 4)
one = Attack(epsilon=6, steps=5, step_size=2, gradient="polled", samples=3, sigma=15)
both, alone = compose.build_estimator(one, [7, 2])(half, x), compose.build_estimator(one, [2], 2)(half, x[1:])
assert torch.equal(both[1:], alone) and both.abs().max() > 0  # an image's result is its own, whatever the batch
scaled = Attack(epsilon=6, steps=5, step_size=2, gradient="polled", samples=4, sigma=15, scales=2)
formula = dict(formulas.update_facts(row, 1))["gradient"]
costs = row.gradient_evaluations_per_seed, scaled.gradient_evaluations_per_seed
print(*costs, row.draws_at_random, descriptions.attack_summary(row), formula, sep="|")
try:
    Attack(epsilon=6, steps=5, step_size=2, gradient="polled", samples=4)
except ValueError as error:
    print("sigma is missing; gradient: polled needs it" in str(error))
"""
RESTING = """
import torch
from crossfool.experiment import descriptions, formulas
from crossfool.attacks import compose
from crossfool.attacks.config import Attack
row = Attack(epsilon=6, steps=10, step_size=1, update="resting")
fresh, other = compose.build_update(row)(), compose.build_update(row)()
given = torch.tensor([[[[1.0, -2.0]]]])
assert fresh(given).tolist() == given.tolist() and fresh(-given).abs().max() == 0
assert other(-given).tolist() == (-given).tolist()  # of another attack: it remembers nothing of the first's
formula = dict(formulas.update_facts(row, 1))["resting"]
print(row.gradient_evaluations_per_seed, row.draws_at_random, descriptions.attack_summary(row), formula, sep="|")
try:
    Attack(epsilon=6, steps=10, step_size=1, update="resting", decay=1.0)
except ValueError as error:
    print("decay is used only with update: momentum or nesterov" in str(error))
"""


def block(name: str) -> str:
    """A diff of the page, by the name of the comment around it."""
    found = re.search(rf"<!-- {name} -->\n```diff\n(.*?)```\n<!-- /{name} -->", PAGE, re.DOTALL)
    assert found, name
    return found[1]


@pytest.fixture
def changed(tmp_path: Path):
    """Makes the library and the tests it needs, with an attack of the page applied by git."""

    def made(name: str) -> Path:
        for folder in ("crossfool", "tests"):
            shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
        for file in ("pyproject.toml", "params.yaml"):
            shutil.copy(ROOT / file, tmp_path)
        outside = os.environ | {"GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}
        subprocess.run(["git", "apply", "-"], cwd=tmp_path, input=block(name), text=True, check=True, env=outside)
        return tmp_path

    return made


@pytest.mark.parametrize(
    ("name", "row", "says", "files", "chosen"),
    [
        (
            "attack",
            MIRRORED,
            "10|False|untargeted, mirrored gradient, T = 5 steps of α = 2, ε = 6|"
            "Gₜ: mirrored (gradients/mirrored.py), at xₜ",
            ["tests/attacks/test_mirrored.py"],
            "mirrored",
        ),
        (
            "noisy",
            POLLED,
            "20|40|True|untargeted, polled gradient of m = 4 antithetic samples with σ = 15, "
            "T = 5 steps of α = 2, ε = 6|Gₜ: polled (gradients/polled.py), at xₜ",
            ["tests/attacks/test_polled.py", "tests/experiment/test_config.py"],
            "polled or mistakes",
        ),
        (
            "update",
            RESTING,
            "10|False|untargeted, plain gradient, resting where the gradient turns round, T = 10 steps of α = 1, ε = 6|"
            "rₜ = ∇J(xₜ) where its sign is that of a step before, else 0; at t = 0 all of it",
            ["tests/attacks/test_loop.py"],
            "resting",
        ),
    ],
)
def test_the_pages_attacks_are_added_as_it_says(changed, name, row, says, files, chosen) -> None:
    copy = changed(name)
    environment = os.environ | {"PYTHONPATH": str(copy)}
    printed = subprocess.run(
        [sys.executable, "-c", row], cwd=copy, env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert printed.splitlines() == [says, "True"]
    own = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files, "-k", chosen]
    tests = subprocess.run(own, cwd=copy, env=environment, capture_output=True, text=True)
    assert tests.returncode == 0, tests.stdout
