"""Run all experiments in small by DVC, to test that every graph runs end to end; see `stand_ins`."""

import importlib.util
import subprocess
import time
from pathlib import Path

from crossfool.attacks.torchattack import catalogue
from crossfool.cli import dvc_repro, stand_ins
from crossfool.errors import UserError, brief
from crossfool.experiment import loading
from crossfool.experiment.config import Experiment
from crossfool.pipeline.stage import print_line


def run(root: Path, folder: Path) -> None:
    """Run `dvc repro` in each experiment of `stand_ins.build_experiments` and print a line for each.

    Raises:
        UserError: an experiment failed; its output is in the file that is named.
    """
    experiments = stand_ins.build_experiments(root, folder, stand_ins.STAND_INS)
    failed = []
    for experiment in experiments:
        if lacks_library(loading.load_experiment(experiment / "params.yaml")):
            print_line(
                f"{experiment.name:20} left out: it needs {catalogue.LIBRARY} (pip install --editable '.[attacks]')"
            )
            continue
        started, log = time.monotonic(), experiment / "repro.log"
        with open(log, "w", encoding="utf-8") as output:
            status = dvc_repro.run(experiment, stdout=output, stderr=subprocess.STDOUT)
        seconds = time.monotonic() - started
        if status:
            failed.append(experiment.name)
            print_line(f"{experiment.name:20} failed after {seconds:.0f} s{_reason(log)}: see {log}")
            continue
        values = loading.load_experiment(experiment / "params.yaml")
        cells = len(values.sources) * len(values.rows)
        print_line(f"{experiment.name:20} {cells:3} cells, {seconds:3.0f} s: {experiment / 'report' / 'tables.md'}")
    if failed:
        raise UserError(f"{len(failed)} of {len(experiments)} experiments failed: {', '.join(failed)}")


def _reason(log: Path) -> str:
    """The first error in a run's output, in parentheses; empty where there is none."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((f" ({brief(line, 200)})" for line in lines if line.lower().startswith("error: ")), "")


def lacks_library(experiment: Experiment) -> bool:
    """Whether the experiment has attacks of another library, and that is not installed."""
    needed = any(row.method is not None for row in experiment.attacks.values())
    return needed and importlib.util.find_spec(catalogue.LIBRARY) is None
