"""Coverage of the paper: by hand on made experiments; the table and counts in the documentation are today's."""

import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from builders import ROOT
from command_line import told
from made_experiments import FOOLED, make
from parsed_page import Parsed

from crossfool.report.reported.coverage import COLUMNS, read_coverage

FGSM, FIVE = {"epsilon": 15, "steps": 1, "step_size": 15}, {"epsilon": 15, "steps": 5, "step_size": 5}
LITE = ("efficientnet_lite0", "efficientnet_lite1")


def covered(project: Path) -> dict[str, dict[str, Any]]:
    """Table or figure -> its row, of a repository all of whose experiments can be read."""
    coverage = read_coverage(project)
    assert coverage.left_out == ()
    return {row["item"]: row for row in coverage.rows}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A folder that the command line takes for the repository, without experiments."""
    (tmp_path / "stages").mkdir()
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    return tmp_path


def experiment(project: Path, name: str) -> Path:
    """A folder with a committed experiment's params.yaml, which has not run."""
    folder = project / "experiments" / name
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "experiments" / name / "params.yaml", folder)
    return folder


def test_a_repository_without_experiments_has_run_nothing(repository: Path) -> None:
    rows = covered(repository)
    assert [*rows][:8] == [f"table{name}" for name in ("1", "2a", "2b", "3", "4", "5", "6", "7")]
    assert [*rows][8:] == [
        f"figure{name}" for name in ("1", "2", "3a", "3b", "4a", "4b", "5", "6", "7", "8", "9", "10")
    ]
    assert all(tuple(row) == COLUMNS for row in rows.values())
    assert {name for name, row in rows.items() if row["run"] == "nothing to run"} == {"figure2", "figure10"}
    assert {row["run"] for row in rows.values()} == {"no", "nothing to run"}
    reported = [rows[name]["reported"] for name in rows]
    assert reported[:8] == [60, 12, 9, 40, 18, 18, 24, 22] and sum(reported[:8]) == 203
    assert {name: row["reported"] for name, row in rows.items() if name.startswith("figure") and row["reported"]} == {
        "figure1": 19,
        "figure8": 12,
    }
    assert {row["cells"] for row in rows.values()} == {0, None}


def test_cells_of_the_papers_networks_by_hand(repository: Path) -> None:
    """Table 2a's FGSM from fnn0: 5 of 8 digits on fnn2, none on fnn4, where the paper has 62.9% twice."""
    make(repository / "experiments/small", FOOLED)
    rows = covered(repository)
    assert rows["table2a"] == {
        "item": "table2a",
        "what": rows["table2a"]["what"],
        "run": "in part",
        "on": "fnn0, fnn2, fnn4 (trained here); 8 images of mnist; no dvc.lock",
        "experiments": "small",
        "reported": 12,
        "cells": 2,
        "within": 1,  # Wilson: 5 of 8 is [30.6, 86.3], 0 of 8 [0, 32.4]
        "mean_difference": -31.65,
        "mean_absolute_difference": 31.65,
        "rank_correlation": None,
    }
    assert {row["run"] for name, row in rows.items() if name != "table2a"} == {"no", "nothing to run"}


def test_a_figure_that_two_experiments_have_counts_once(repository: Path) -> None:
    make(repository / "experiments/small", FOOLED)
    more = {("fnn2", "fgsm", "fnn0"): 4, ("fnn2", "fgsm", "fnn4"): 4, ("fnn0", "fgsm", "fnn2"): 1}
    make(repository / "experiments/larger", more, sources=("fnn0", "fnn2"))
    row = covered(repository)["table2a"]
    assert (row["cells"], row["experiments"]) == (4, "larger, small")
    # fnn0 -> fnn2 12.5 and fnn4 25.0 (62.9 both), fnn2 -> fnn0 50 (52.9), fnn4 50 (48.3): of the experiment with most
    assert row["mean_difference"] == pytest.approx((12.5 - 62.9 + 25 - 62.9 + 50 - 52.9 + 50 - 48.3) / 4)


def test_other_networks_and_images_are_substitutes(repository: Path) -> None:
    """FGSM and IGSM with table 1's parameters, FGSM with figure 5's, on other networks and photographs."""
    attacks, sample = {"fgsm": FGSM, "igsm": FIVE}, {"name": "imagenet-sample"}
    lite = {"models": LITE, "sources": LITE, "attacks": attacks, "dataset": sample}
    make(repository / "experiments/lite", {}, **lite, transforms={"jpeg": [50]})  # type: ignore[arg-type]
    rows = covered(repository)
    assert {name: row["on"] for name, row in rows.items() if row["run"] == "substitutes only"} == {
        "table1": f"{', '.join(LITE)}; 8 images of imagenet-sample; no dvc.lock",
        "figure5": f"{', '.join(LITE)}; 8 images of imagenet-sample; 1 of 6 attacks; no dvc.lock",
    }
    assert (rows["table1"]["cells"], rows["table1"]["within"], rows["table1"]["experiments"]) == (0, None, "lite")


def test_analyses_are_run_where_the_lock_has_them(repository: Path) -> None:
    folder = experiment(repository, "smoothness")
    rows = covered(repository)
    planned = {name for name, row in rows.items() if row["experiments"] == "smoothness"}
    assert planned == {"table1", "figure3a", "figure3b", "figure6", "figure9"}
    assert {rows[name]["run"] for name in planned} == {"no"} and {rows[name]["on"] for name in planned} == {None}
    lines = [
        "    outs:",
        *("    - path: analysis/similarity/within.csv", "      md5: 0123"),
        *("    - path: analysis/boundary/sign.safetensors", "      md5: 4567"),
    ]
    (folder / "dvc.lock").write_text("\n".join(lines), encoding="utf-8")
    rows = covered(repository)
    assert {name: row["run"] for name, row in rows.items() if row["run"] not in ("no", "nothing to run")} == {
        "figure3a": "in part",  # its other half is across architectures
        "figure9": "yes",
    }
    assert rows["figure3a"]["on"] == "vgg13_bn, vgg16_bn; imagenet"
    assert rows["figure3a"]["reported"] is None and rows["figure3a"]["cells"] is None


def test_each_table_and_figure_of_results_has_an_experiment() -> None:
    """The committed experiments can compute all that there is to run."""
    for name, row in covered(ROOT).items():
        assert row["run"] == "nothing to run" or row["experiments"], name


def test_what_cannot_be_read_is_named(repository: Path) -> None:
    make(repository / "experiments/small", FOOLED)
    broken = repository / "experiments/broken"
    broken.mkdir()
    (broken / "params.yaml").write_text("models: [\n")
    coverage = read_coverage(repository)
    (line,) = coverage.left_out
    assert "broken/params.yaml" in line
    assert {row["item"]: row["run"] for row in coverage.rows}["table2a"] == "in part"


def test_the_command_and_the_page(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(repository / "experiments/small", FOOLED)
    monkeypatch.chdir(repository)
    printed = told("coverage")
    (line,) = [line for line in printed.splitlines() if line.startswith("table 2a")]
    assert "in part" in line and "fnn0, fnn2, fnn4 (trained here)" in line
    assert "203 success rates in the paper's tables 2 have a cell here, 1 of these" in printed
    assert "201 were never run" in printed and "10 figures that show results 0 were run" in printed
    rows = json.loads(told("coverage", "--json"))["rows"]
    assert rows == [dict(row) for row in read_coverage(repository).rows]
    told("report", "small")
    page = Parsed((repository / "report.html").read_text(encoding="utf-8"))
    table = page.table("What of the paper was run here")
    assert len(table) == 1 + len(rows) and table[2][0] == "table 2a"


def test_the_command_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom crossfool.cli.main import main\n"
        "main(['coverage'], standalone_mode=False)\n"
        "assert not {'torch', 'pandas', 'matplotlib', 'pyarrow', 'dvc', 'torchvision'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)


def test_the_documentation_has_todays_table() -> None:
    """Run `python tools/coverage_table.py` where this fails."""
    tool = runpy.run_path(str(ROOT / "tools/coverage_table.py"))
    text = tool["PAGE"].read_text(encoding="utf-8")
    assert tool["page"](text) == text
    assert "| table 1 |" in text and "| figure 10 |" in text


def test_the_readme_has_todays_counts() -> None:
    rows = read_coverage(ROOT).rows
    tables = [row for row in rows if row["item"].startswith("table")]
    reported, cells, within = (sum(row[key] or 0 for row in tables) for key in ("reported", "cells", "within"))
    figures = [row for row in rows if row["item"].startswith("figure") and row["run"] != "nothing to run"]
    run = sum(row["run"] in ("yes", "in part") for row in figures)
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"{cells} of the {reported} success rates in the paper's tables were computed" in text
    assert f"for {within} of these, the paper's value lies in our 95% interval" in text
    assert run == 0 and f"The other {reported - cells} rates and all {len(figures)} figures with results" in text
