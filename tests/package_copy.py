"""A copy of the package that parts are added to, with an experiment, asked in processes of its own."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from builders import DIGITS, ROOT


class Copy:
    """A copy of the package with an experiment, asked in processes of its own."""

    def __init__(self, folder: Path, rows: dict[str, Any]) -> None:
        self.folder = folder
        shutil.copytree(ROOT / "crossfool", folder / "crossfool", ignore=shutil.ignore_patterns("__pycache__"))
        self.write(rows)

    def params(self, rows: dict[str, Any]) -> str:
        return yaml.safe_dump({**DIGITS, "subset": {"images": 3}, "compute": {"chunk": 3}, "attacks": rows})

    def write(self, rows: dict[str, Any]) -> None:
        (self.folder / "params.yaml").write_text(self.params(rows), encoding="utf-8")

    def run(self, *arguments: str) -> str:
        environment = {**os.environ, "PYTHONPATH": f"{self.folder}{os.pathsep}{ROOT / 'tests'}"}
        done = subprocess.run(
            [sys.executable, *arguments], cwd=self.folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ask(self, script: str, *arguments: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.run("-c", script, *arguments))
        return answer
