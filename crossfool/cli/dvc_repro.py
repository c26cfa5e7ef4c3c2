"""Run `dvc repro` in an experiment's folder, by the Python that runs now, with its programs first on the PATH."""

import contextlib
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def run(folder: Path, **options: Any) -> int:
    """Run it and return its exit status; `options` are those of `subprocess.run`, such as where its output goes."""
    command = [sys.executable, "-m", "dvc", "repro"]
    return subprocess.run(command, cwd=folder, env={**os.environ, "PATH": _path()}, **options).returncode


def run_here(folder: Path, handler: logging.Handler) -> int:
    """Run it in this process, which DVC's stages end with, and return its exit status.

    Args:
        folder: The experiment's.
        handler: Handles what DVC logs, after DVC's own handlers have printed it.
    """
    from dvc import cli

    os.environ["PATH"] = _path()
    log = logging.getLogger("dvc")
    log.addHandler(handler)
    try:
        with contextlib.chdir(folder):
            status: int = cli.main(["repro"])
            return status
    finally:
        log.removeHandler(handler)


def _path() -> str:
    """The PATH with the folder of this Python first."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
