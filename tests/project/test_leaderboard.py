"""docs/leaderboard.md is what the metrics in git say."""

import re
import subprocess
import sys

from builders import ROOT

from crossfool.experiment import loading, project
from crossfool.experiment.results.metrics import load_metrics


def test_the_leaderboard_is_of_the_metrics_in_git():
    made = subprocess.run([sys.executable, ROOT / "tools/leaderboard.py"], capture_output=True, text=True, check=True)
    assert (ROOT / "docs/leaderboard.md").read_text(encoding="utf-8") == made.stdout


def test_no_experiment_drops_out_of_it():
    """Whose metrics are not whole is left out, with a line that says so: today none is."""
    folders, left_out = project.folders_with_results(project.experiment_folders(ROOT).values())
    named = {folder.name for folder in project.experiment_folders(ROOT).values() if (folder / "metrics").is_dir()}
    assert named == {folder.name for folder in folders}
    made = subprocess.run([sys.executable, ROOT / "tools/leaderboard.py"], capture_output=True, text=True, check=True)
    assert made.stderr.splitlines() == [f"left out: {line}" for line in left_out]


def test_every_attack_with_black_box_cells_is_on_it():
    text = (ROOT / "docs/leaderboard.md").read_text(encoding="utf-8")
    folders, _ = project.folders_with_results(project.experiment_folders(ROOT).values())
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert len(sections) == len(folders) >= 5
    for folder, section in zip(folders, sections, strict=True):
        results = load_metrics(folder, loading.load_experiment(folder / "params.yaml"))
        rows = re.findall(r"^\| (\d+) \| `(\w+)`(?: †)? \| ([\d.]+) ", section, re.MULTILINE)
        assert {name for _, name, _ in rows} == set(results.experiment.attacks)
        for _, name, rate in rows:  # the mean over black-box cells, straight from the files
            metric = "top5" if results.experiment.attacks[name].targeted else "top1"
            cells = [
                one[metric] for (_, attack), targets in results.success.items() if attack == name
                for one in targets.values() if not one["whitebox"]
            ]  # fmt: skip
            assert abs(float(rate) - sum(cells) / len(cells)) <= 0.0501
