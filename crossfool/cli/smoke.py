"""All experiments in small, by DVC: does every graph run end to end? See `standins`."""

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

from crossfool.attacks.torchattack import catalogue
from crossfool.cli import stand_ins
from crossfool.errors import UserError
from crossfool.experiment import loading
from crossfool.experiment.config import Experiment
from crossfool.pipeline.stage import say


def run(root: Path, folder: Path) -> None:
    """Run `dvc repro` in each experiment of `standins.build` and print a line for each.

    Raises:
        UserError: one failed; its output is in the file that is named.
    """
    made = stand_ins.build(root, folder, stand_ins.POOLS)
    failed = []
    for experiment in made:
        if lacking(loading.load(experiment / "params.yaml")):
            say(f"{experiment.name:20} left out: it needs {catalogue.LIBRARY} (pip install --editable '.[attacks]')")
            continue
        started, log = time.monotonic(), experiment / "repro.log"
        with open(log, "w", encoding="utf-8") as output:
            done = subprocess.run(
                [sys.executable, "-m", "dvc", "repro"],
                cwd=experiment,
                env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        took = time.monotonic() - started
        if done.returncode:
            failed.append(experiment.name)
            say(f"{experiment.name:20} failed after {took:.0f} s{_reason(log)}: see {log}")
            continue
        values = loading.load(experiment / "params.yaml")
        cells = len(values.sources) * len(values.rows)
        say(f"{experiment.name:20} {cells:3} cells, {took:3.0f} s: {experiment / 'report' / 'tables.md'}")
    if failed:
        raise UserError(f"{len(failed)} of {len(made)} experiments failed: {', '.join(failed)}")


def _reason(log: Path) -> str:
    """The first error that a run's output tells, as a message's middle."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((f" ({line[:200]})" for line in lines if line.lower().startswith("error: ")), "")


def lacking(experiment: Experiment) -> bool:
    """Whether attacks are of a library that is not installed."""
    theirs = any(row.method is not None for row in experiment.attacks.values())
    return theirs and importlib.util.find_spec(catalogue.LIBRARY) is None
