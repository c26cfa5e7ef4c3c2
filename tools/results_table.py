"""Write success and verdicts into the READMEs that have marks for them: of metrics and agreement.json, never by hand.

python tools/results_table.py
"""

from pathlib import Path

from crossfool.experiment import loading
from crossfool.experiment.results.cost_effectiveness import cost_effectiveness_rows
from crossfool.experiment.results.metrics import load_metrics
from crossfool.report.number_text import difference_text, interval_text, p_value_text, rate_text
from crossfool.storage.json_files import read_json

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- results: written by tools/results_table.py -->", "<!-- /results -->"


def marked_folders() -> list[Path]:
    """The folders of the experiments whose README has the marks, by name."""
    pages = sorted(ROOT.glob("experiments/*/README.md"))
    return [page.parent for page in pages if BEGIN in page.read_text(encoding="utf-8")]


def success_table(folder: Path) -> str:
    """The attacks by mean success over black-box cells, with its interval and what an image costs."""
    results = load_metrics(folder, loading.load_experiment(folder / "params.yaml"))
    costs = cost_effectiveness_rows(folder, results)
    lines = [f"| | attack | success, % (n = {results.n:,}) | gradients an image |", "|---:|---|---|---:|"]
    for cost in costs:
        place = 1 + sum(other.success > cost.success for other in costs)
        rate = f"{rate_text(cost.success)} {interval_text(cost.low, cost.high)}"
        lines.append(f"| {place} | `{cost.attack}` | {rate} | {cost.gradients:,} |")
    return "\n".join(lines)


def verdict_table(folder: Path) -> str:
    """The paper's claims that the experiment has rows for, with verdict, effect, interval and p by Holm's method."""
    lines = ["| claim of the paper | verdict | difference, points | p, Holm |", "|---|---|---:|---:|"]
    for claim, found in read_json(folder / "agreement.json")["claims"].items():
        if found["effect"] is None:
            lines.append(f"| `{claim}` | {found['verdict']} | – | – |")
            continue
        difference = f"{difference_text(found['effect'])} {interval_text(found['low'], found['high'])}"
        lines.append(f"| `{claim}` | {found['verdict']} | {difference} | {p_value_text(found['p_holm'])} |")
    return "\n".join(lines)


def readme(folder: Path, text: str) -> str:
    """The text of an experiment's README with today's tables.

    Raises:
        SystemExit: the mark at the end is missing.
    """
    before, _, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not ended:
        raise SystemExit(f"{folder}/README.md lacks the line {END}, before which the tables stand")
    return "\n\n".join([before + BEGIN, success_table(folder), verdict_table(folder), END + after])


if __name__ == "__main__":
    for folder in marked_folders():
        place = folder / "README.md"
        place.write_text(readme(folder, place.read_text(encoding="utf-8")), encoding="utf-8")
