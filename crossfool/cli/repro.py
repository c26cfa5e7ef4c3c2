"""Run an experiment by DVC: what will run and for how long, then each stage's place among all, then the answer."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.text import Text

from crossfool.cli import check, dvc_repro, repair_locks
from crossfool.experiment import costs, descriptions, loading, preflight
from crossfool.experiment.preflight import Preflight
from crossfool.experiment.progress import Progress
from crossfool.experiment.results.metrics import load_metrics
from crossfool.pipeline.stage import print_line
from crossfool.report.answer import find_answers
from crossfool.report.findings import Findings

# DVC's log messages on a stage: running, unchanged, or with outputs from the cache
VISIT = re.compile(r"(?P<runs>Running s|S)tage '(?P<name>[^']+)'")


def run(folder: Path, console: Console, rate: float | None = None) -> int:
    """Run `dvc repro` in an experiment's folder, and return its exit status.

    Args:
        folder: The experiment's.
        console: Where the check and the answer are printed.
        rate: Gradients a second, for the time; an assumption or this machine's cells give it where it is None.

    Raises:
        UserError: the check finds a mistake, and nothing runs; or the folder is not in a DVC repository.
    """
    if repaired := repair_locks.repair(folder):
        print_line(repaired)
    checked = preflight.check(folder)
    check.show(checked, console, rate)
    console.print(Text(_start(checked, rate), style="bold"))
    progress = Progress([stage.name for stage in checked.stages or ()], checked.stage_seconds(rate))
    status = dvc_repro.run_here(folder, ProgressLines(progress))
    if status:
        return status
    console.print()
    for label, text in answer(Findings(folder, load_metrics(folder, loading.load_experiment(folder / "params.yaml")))):
        console.print(Text.assemble((f"{label:10}", "bold"), text), soft_wrap=True)
    return 0


def _start(checked: Preflight, rate: float | None) -> str:
    """The number of stages that will run, and the time that they will take, as far as it is known."""
    stages = checked.stages or ()
    runs, seconds = sum(stage.runs for stage in stages), checked.estimated_seconds(rate)
    duration = f", in an estimated {costs.duration_text(seconds)}" if runs and seconds is not None else ""
    return f"{runs} of {len(stages)} stages will run{duration}"


class ProgressLines(logging.Handler):
    """Prints the line of each stage that DVC runs, below DVC's own that names the stage."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        """Print a line if the record says that DVC runs a stage."""
        visit = VISIT.match(record.getMessage())
        line = visit and self._progress.visit(visit["name"], runs=visit["runs"] != "S")
        if line:
            print_line(line, bold=True)


def answer(findings: Findings) -> Iterator[tuple[str, str]]:
    """(label, text) of each line of an experiment's answer, which its page opens with, too; of one objective."""
    found = next(find_answers(findings), None)
    if found is not None:
        row = findings.experiment.attacks[found.attack]
        yield "best", f"{found.attack} transfers best: {descriptions.attack_summary(row)}"
        yield "success", found.success
        yield "against", found.margin
        yield "verdict", found.verdict or "not tested"
    yield "report", f"{findings.folder / 'report/index.html'}, to be opened in a browser"
    if findings.experiment.subset.uses_tuning:
        yield "note", descriptions.TUNING_NOTICE
