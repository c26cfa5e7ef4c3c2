"""Write docs/leaderboard.md: the attacks of every experiment whose metrics are in git, ranked.

python tools/leaderboard.py > leaderboard.md && mv leaderboard.md docs/
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from crossfool.experiment import loading, project
from crossfool.experiment.descriptions import attacked_images_summary
from crossfool.experiment.results.detail_rows import rank_among
from crossfool.experiment.results.metrics import load_metrics
from crossfool.report.departures import MARK
from crossfool.report.leaderboard.experiment_rows import BoardRow, departures_note, experiment_rows, few_images_note
from crossfool.report.number_text import count_text, interval_text, rate_text, two_places

ROOT = Path(__file__).resolve().parents[1]
HEAD = """# Leaderboard

Attacks of the experiments whose `metrics/` are in git, ranked by mean success over black-box cells (top-1; top-5 of
targeted attacks), in percent, with its 95% interval: clustered by image as in `report/tables/ranking.csv`, or, where
agreement.json has none, the widest that it could be, Wilson's for the number of images. Beside it: gradient evaluations
an image and model, and success divided by them. Ranks hold within a table alone: its models, images and ε. Whether two
attacks differ on these images is in each experiment's `report/tables/pairwise.csv` (all cells together) and
`report/tables/mcnemar.csv` (cell by cell). † marks an attack whose code is known to depart from its paper.

`make site` writes the same rows as a page, `.crossfool/leaderboard/index.html`: to be sorted, and filtered by budget
and text; with distances, Pareto fronts, paired tests at equal cost from the predictions in git, each row's parameters
and the commands that explain and reproduce it. Experiments that attack the very same images with the same models share
a table there. `make site BEFORE=REVISION` adds what ranks have changed since a git revision.

Written by `tools/leaderboard.py` from `metrics/`, never by hand: a test compares. To be on it:
[a row of the leaderboard](contributing.md#a-row-of-the-leaderboard)."""


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
    rows = experiment_rows(folder, results, folder.name)
    few = few_images_note(results.n, rows)
    return "\n\n".join([f"## {name}", about, *([f"**{few}**"] if few else []), *tables(rows)])


def tables(rows: list[BoardRow]) -> Iterator[str]:
    """Yield a table for each objective, norm and epsilon, untargeted attacks before targeted ones."""
    for setting in dict.fromkeys((row.objective, row.norm, row.epsilon) for row in rows):
        ranked = [row for row in rows if (row.objective, row.norm, row.epsilon) == setting]
        rates = [row.success for row in ranked]
        lines = [f"| | {setting[0]} attack | success, % | gradients | success a gradient | what |"]
        lines.append("|---:|---|---:|---:|---:|---|")
        for row in ranked:
            rate = f"{rate_text(row.success)} {interval_text(row.low, row.high)}"
            counts = f"{count_text(row.gradients)} | {two_places(row.per_gradient)}"
            name = f"`{row.attack}`{MARK if row.departs else ''}"
            lines.append(f"| {rank_among(row.success, rates)} | {name} | {rate} | {counts} | {row.summary} |")
        yield "\n".join(lines)
        if departing := departures_note(ranked):
            yield departing


if __name__ == "__main__":
    main()
