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
from crossfool.report.findings import Findings
from crossfool.report.leaderboard.rivals import budget_of
from crossfool.report.number_text import difference_text, gradients_text, interval_text, p_equation, rate_text

# What DVC logs of a stage: that it runs it, that it did not change, or that its outputs are cached.
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
    """(label, text) of each line of an experiment's answer: its best attack, and the next best at equal cost."""
    experiment, rates = findings.experiment, findings.mean_rates
    rows = experiment.attacks

    def cost(name: str) -> int:
        return rows[name].gradient_evaluations_per_seed

    ranked = sorted(rates, key=lambda name: (rows[name].targeted, -rates[name].percent, cost(name)))
    if ranked:
        best = ranked[0]
        rate, row, budget = rates[best], rows[best], budget_of(cost(best))
        metric = "top-5" if row.targeted else "top-1"
        within = "at any cost" if budget is None else f"within {budget} gradient evaluations"
        yield "best", f"{best} transfers best: {descriptions.attack_summary(row)}"
        interval = interval_text(rate.low, rate.high)
        cells = "1 black-box cell" if rate.cells == 1 else f"{rate.cells} black-box cells"
        yield "success", f"{rate_text(rate.percent)}% {interval}, mean {metric} success over {cells} of {rate.n} images"
        yield "cost", gradients_text(cost(best))
        alike = [
            name
            for name in ranked[1:]
            if (rows[name].objective, rows[name].epsilon) == (row.objective, row.epsilon)
            and (budget is None or cost(name) <= budget)
        ]
        yield "against", _against(findings, best, alike[0], within) if alike else f"no other attack of its ε {within}"
    yield "report", f"{findings.folder / 'report/index.html'}, to be opened in a browser"
    if experiment.subset.uses_tuning:
        yield "note", descriptions.TUNING_NOTICE


def _against(findings: Findings, best: str, rival: str, within: str) -> str:
    """The paired difference of the best attack and its rival, the next best within a budget."""
    (pair,) = (row for row in findings.pairs if {row["first"], row["second"]} == {best, rival})
    sign = 1 if pair["first"] == best else -1
    low, high = sorted((sign * pair["low"], sign * pair["high"]))
    gradients = findings.experiment.attacks[rival].gradient_evaluations_per_seed
    rate = rate_text(findings.mean_rates[rival].percent)
    return (
        f"{rival}, the next best {within}: {rate}% at {gradients}; difference "
        f"{difference_text(sign * pair['difference'])} points {interval_text(low, high)}, paired "
        f"{p_equation(pair['p'])}, by Holm's method for {len(findings.pairs)} pairs {p_equation(pair['p_holm'])}"
    )
