"""Write docs/leaderboard.md: the attacks of every experiment whose metrics are in git, ranked.

python tools/leaderboard.py > leaderboard.md && mv leaderboard.md docs/
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from crossfool.experiment import loading, project
from crossfool.experiment.descriptions import attack_summary, attacked_images_summary
from crossfool.experiment.results import cost_effectiveness
from crossfool.experiment.results.metrics import load_metrics
from crossfool.report.departures import MARK, departures, note

ROOT = Path(__file__).resolve().parents[1]
HEAD = """# Leaderboard

Attacks of the experiments whose `metrics/` are in git, ranked by mean success over black-box cells (top-1; top-5 of
targeted attacks), in percent, with its 95% interval: clustered by image as in `report/tables/ranking.csv`, or, where
agreement.json has none, the widest that it could be, Wilson's for the number of images. Beside it: gradient evaluations
an image and model, and success divided by them. Ranks hold within a table alone: its models, images and ε. Whether two
attacks differ on these images is in each experiment's `report/tables/pairwise.csv` (all cells together) and
`report/tables/mcnemar.csv` (cell by cell). † marks an attack whose code is known to depart from its paper.

Written by `tools/leaderboard.py` from `metrics/`, never by hand: a test compares. To be on it:
[an attack's row and its run, by pull request](contributing.md#a-pull-request)."""


def main() -> None:
    folders, left_out = project.folders_with_results(project.experiment_folders(ROOT).values())
    for line in left_out:
        print(f"left out: {line}", file=sys.stderr)
    print("\n\n".join([HEAD, *(section(folder) for folder in folders)]))


def section(folder: Path) -> str:
    """Section of an experiment: heading, description and tables."""
    results = load_metrics(folder, loading.load_experiment(folder / "params.yaml"))
    name = "The default benchmark" if folder == ROOT else folder.name
    place = "results.md" if folder == ROOT else f"../experiments/{folder.name}/README.md"
    sources = ", ".join(results.experiment.sources)
    about = f"[About it]({place}). {attacked_images_summary(results)}. Sources: {sources}."
    return "\n\n".join([f"## {name}", about, *tables(folder, results)])


def tables(folder: Path, results) -> Iterator[str]:
    """Yield a table of the untargeted attacks and one of the targeted attacks."""
    costs, departs = cost_effectiveness.cost_effectiveness_rows(folder, results), departures(results.experiment)
    for objective in dict.fromkeys(cost.objective for cost in costs):
        ranked = [cost for cost in costs if cost.objective == objective]
        lines = [f"| | {objective} attack | success, % | gradients | success a gradient | what |"]
        lines.append("|---:|---|---:|---:|---:|---|")
        for cost in ranked:
            place = 1 + sum(other.success > cost.success for other in ranked)
            rate = f"{cost.success:.1f} [{cost.low:.1f}, {cost.high:.1f}]"
            summary = attack_summary(results.experiment.attacks[cost.attack]).removeprefix(f"{objective}, ")
            description = summary.partition(" (†")[0]  # the note below says in what it departs
            counts = f"{cost.gradients:,} | {cost.per_gradient:.2f}"
            mark = MARK if cost.attack in departs else ""
            lines.append(f"| {place} | `{cost.attack}`{mark} | {rate} | {counts} | {description} |")
        yield "\n".join(lines)
        if marked := {cost.attack: departs[cost.attack] for cost in ranked if cost.attack in departs}:
            yield f"{note(marked)} Their rates are the library's, not the papers'."


if __name__ == "__main__":
    main()
