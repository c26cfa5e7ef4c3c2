"""docs/contributing.md, done as it says: its attack is added to a copy, tested there, and is a row with its words."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROW = """
import torch
from transferbench import explain, params, results, rows
row = params.Attack(epsilon=6, steps=5, step_size=2, gradient="mirrored")
weights = torch.arange(4.0).view(1, 1, 2, 2)
assert rows.estimate(row, [0])(lambda x: (x * weights).sum((1, 2, 3)), torch.ones(1, 1, 2, 2)).flatten().tolist() == [
    0.5, 0.5, 2.5, 2.5
]
print(row.gradients, row.drawn, results.words(row), dict(explain.update(row, 1))["gradient"], sep="|")
try:
    params.Attack(epsilon=6, steps=5, step_size=2, gradient="mirrored", scales=2)
except ValueError as error:
    print("scales is used only with gradient" in str(error))
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The library and the tests it needs, with the attack of the page applied by git."""
    for folder in ("transferbench", "tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    text = (ROOT / "docs/contributing.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- attack -->\n```diff\n(.*?)```\n<!-- /attack -->", text, re.DOTALL)
    assert found
    command = ["git", "apply", "-"]
    outside = os.environ | {"GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}
    subprocess.run(command, cwd=tmp_path, input=found[1], text=True, check=True, env=outside)
    return tmp_path


def test_the_pages_attack_is_added_as_it_says(copy: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(copy)}
    run = [sys.executable, "-c", ROW]
    printed = subprocess.run(run, cwd=copy, env=environment, capture_output=True, text=True, check=True).stdout
    words = "untargeted, mirrored gradient, T = 5 steps of α = 2, ε = 6"
    assert printed.splitlines() == [f"10|False|{words}|Gₜ: mirrored (gradients.py), at xₜ", "True"]
    own = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_attack.py", "-k", "mirrored"]
    tests = subprocess.run(own, cwd=copy, env=environment, capture_output=True, text=True)
    assert tests.returncode == 0 and "1 passed" in tests.stdout, tests.stdout
