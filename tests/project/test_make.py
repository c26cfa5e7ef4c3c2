"""Commands that `make` would run for each target, as `make --dry-run` prints them."""

import json
import shutil
import subprocess

import pytest
from builders import ROOT


def commands(target: str) -> list[str]:
    """The commands that make would run for a target, but those that make the environment."""
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")
    printed = subprocess.run([make, "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [line for line in printed.splitlines() if line.startswith(("dvc ", "crossfool ", "cd "))]


def test_repro_runs_the_default_benchmark_alone() -> None:
    assert commands("repro") == ["crossfool repro .", "crossfool show ."]


def test_show_prints_the_default_benchmark() -> None:
    assert commands("show") == ["crossfool show ."]


def test_the_development_container_makes_the_environment_of_the_tests() -> None:
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    program, target = container["postCreateCommand"].split()
    rules = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert program == "make" and f"\n{target}: " in rules
    assert container["image"].endswith(":3.11-bookworm")  # the Python of the locks
