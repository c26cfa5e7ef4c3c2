"""Run `dvc repro` in an experiment's folder, by the Python that runs now, with its programs first on the PATH."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def run(folder: Path, **options: Any) -> int:
    """Run it and return its exit status; `options` are those of `subprocess.run`, such as where its output goes."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-m", "dvc", "repro"]
    return subprocess.run(command, cwd=folder, env={**os.environ, "PATH": path}, **options).returncode
