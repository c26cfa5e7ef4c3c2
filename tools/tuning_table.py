"""Write the table of tuning into the README of each experiment that has a folder `tuning/`: every value that was tried.

python tools/tuning_table.py

`tuning/` is an experiment on tuning images whose rows are candidates. A candidate is for the rows of the experiment
that agree with it in everything but the varied values, the kind and number of noise samples (rows that differ in these
alone are to differ in nothing else) and what is recorded. Of a row's candidates the one with the greatest mean success
over black-box cells is chosen; of equals the one with the smaller step size, then sigma, then radius. Rows whose names
end in `_paper` have the paper's ratios of these values and are not tuned.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from crossfool.attacks.config import Attack
from crossfool.experiment import loading
from crossfool.experiment.config import Experiment
from crossfool.experiment.results.cost_effectiveness import cost_effectiveness_rows
from crossfool.experiment.results.metrics import load_metrics
from crossfool.experiment.tuning import RECORDED, preference
from crossfool.report.number_text import rate_text

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- tuning: written by tools/tuning_table.py -->", "<!-- /tuning -->"
VARIED = {"step_size": "step size", "sigma": "σ", "radius": "radius"}
SHARED = ("noise", "samples")
NOT_TUNED = "_paper"

Values = tuple[float | None, ...]  # of the varied keys; None where a row lacks the key


def tuned_folders() -> list[Path]:
    """The folders of the experiments that have been tuned, by name."""
    return sorted(path.parent.parent for path in ROOT.glob("experiments/*/tuning/params.yaml"))


def tried_values(folder: Path) -> dict[str, dict[Values, float]]:
    """Kind of row -> values that were tried -> mean success in percent over black-box cells and candidates."""
    tuning = loading.load_experiment(folder / "tuning/params.yaml")
    rates: dict[str, dict[Values, list[float]]] = {}
    success = {
        cost.attack: cost.success
        for cost in cost_effectiveness_rows(folder / "tuning", load_metrics(folder / "tuning", tuning))
    }
    for attack, row in tuning.attacks.items():
        rates.setdefault(kind_of(row), {}).setdefault(varied_values(row), []).append(success[attack])
    return {kind: {values: sum(some) / len(some) for values, some in tried.items()} for kind, tried in rates.items()}


def best_values(tried: Mapping[Values, float]) -> Values:
    """The values of the greatest rate; of equals the smallest."""
    return min(tried, key=lambda values: preference(tried[values], values))


def kind_of(row: Attack) -> str:
    """The kind of a row as JSON: all keys that the row and its candidates have in common."""
    return row.model_dump_json(exclude={*VARIED, *SHARED, *RECORDED})


def varied_values(row: Attack) -> Values:
    """A row's varied values."""
    return tuple(row.value(key) for key in VARIED)


def tuned_rows(experiment: Experiment, tried: Mapping[str, Mapping[Values, float]]) -> dict[str, list[str]]:
    """Kind -> the tuned rows of an experiment; a row with the paper's ratios where those are the chosen values."""
    return {kind: _tuned_rows(experiment, kind, best_values(rates)) for kind, rates in tried.items()}


def _tuned_rows(experiment: Experiment, kind: str, chosen: Values) -> list[str]:
    """The rows of a kind that are tuned, else those with the paper's ratios that have the chosen values."""
    rows = {name: row for name, row in experiment.attacks.items() if kind_of(row) == kind}
    tuned = [name for name in rows if not name.endswith(NOT_TUNED)]
    return tuned or [name for name, row in rows.items() if varied_values(row) == chosen]


def table(folder: Path) -> str:
    """The table of the values that were tried: a line each, those of a row together, the chosen ones marked."""
    experiment, tried = loading.load_experiment(folder / "params.yaml"), tried_values(folder)
    names_of = _names(loading.load_experiment(folder / "tuning/params.yaml"))
    lines = [f"| rows | {' | '.join(VARIED.values())} | success, % | best |", "|---|---:|---:|---:|---:|---|"]
    for kind, names in tuned_rows(experiment, tried).items():
        best = best_values(tried[kind])
        quoted = ", ".join(f"`{name}`" for name in names) or f"`{names_of[kind]}`, not scored"
        if len(names) > 3:
            quoted = f"`{names[0]}` to `{names[-1]}`"
        for values, rate in tried[kind].items():
            numbers = " | ".join("" if value is None else f"{value:g}" for value in values)
            lines.append(f"| {quoted} | {numbers} | {rate_text(rate)} | {'best' if values == best else ''} |")
    return "\n".join(lines)


def _names(tuning: Experiment) -> dict[str, str]:
    """Kind -> what the names of its candidates begin with: `sg_igsm` of `sg_igsm_a100_s8`."""
    return {kind_of(row): re.sub(r"_a\d+.*", "", name) for name, row in tuning.attacks.items()}


def readme(folder: Path, text: str) -> str:
    """The text of an experiment's README with today's table.

    Raises:
        SystemExit: a mark is missing.
    """
    before, found, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not (found and ended):
        raise SystemExit(f"{folder}/README.md lacks the line {END if found else BEGIN}, between which the table stands")
    return "\n\n".join([before + BEGIN, table(folder), END + after])


if __name__ == "__main__":
    for folder in tuned_folders():
        place = folder / "README.md"
        place.write_text(readme(folder, place.read_text(encoding="utf-8")), encoding="utf-8")
