"""The costs that the documentation states are the ones that params.yaml gives, and its lists are whole."""

import re
import runpy
import subprocess
import sys

import pytest
import yaml
from builders import ROOT


@pytest.fixture(scope="module")
def printed() -> str:
    """What tools/costs.py prints."""
    command = [sys.executable, "tools/costs.py"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_the_map_of_experiments_states_their_costs(printed):
    costs = {}
    for line in printed.splitlines()[2:]:
        name, _, *figures = (cell.strip() for cell in line.strip("|").split("|"))
        costs[name.strip("`")] = figures
    assert costs.keys() == {".", *(path.parent.name for path in ROOT.glob("experiments/*/params.yaml"))}
    stated = {}
    for line in (ROOT / "experiments/README.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        folder = re.match(r"\[?`([\w.-]+)`", cells[1]) if len(cells) == 6 else None
        if folder:
            stated[folder[1]] = cells[3:]
    assert stated == costs


def test_every_experiment_is_explained():
    for path in ROOT.glob("experiments/*/params.yaml"):
        text = (path.parent / "README.md").read_text(encoding="utf-8")
        assert f"dvc repro experiments/{path.parent.name}/dvc.yaml" in text


def test_a_gradient_evaluation_is_an_image_through_a_model(printed):
    """Table 6 by hand: three ensembles of 3, 2 and 3; igsm T = 100, sg_igsm T = 50 with m = 20; 5,000 images."""
    assert 5_000 * (3 + 2 + 3) * (100 + 50 * 20) == 44_000_000
    assert "| `ensemble` | 6 | 44.0 million |" in printed


def test_every_kind_of_output_has_its_cost():
    """docs/sharing.md: what it costs to keep."""
    kinds = set()
    for stage in yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"].values():
        for out in (one for kind in ("outs", "metrics", "plots") for one in stage.get("do", stage).get(kind, [])):
            path = out if isinstance(out, str) else next(iter(out))
            folder, _, rest = path.partition("/")
            kinds.add(path if folder == "data" or not rest or path == "analysis/list.json" else f"{folder}/")
    text = (ROOT / "docs/sharing.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \| (?:DVC|git) \|", text, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert not [kind for kind in kinds if not any(name.startswith(kind) for name in named)]
    assert len(kinds) > 10


def test_the_table_of_parts_is_what_the_parts_declare():
    tool = runpy.run_path(str(ROOT / "tools/parts_table.py"))
    text = tool["PAGE"].read_text(encoding="utf-8")
    assert tool["page"](text) == text and text.count(tool["START"]) == text.count(tool["END"]) == 1
    assert "| `noise: latin` |" in text and "`resize`: " in text
