"""The campaigns of `make stress`, in small: what they try at length must hold at every change."""

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from builders import ROOT
from repositories import Repository

sys.path.insert(0, str(ROOT / "stress"))

import fuzz
import kills
import outcome
import run as stress

SMALL = {
    "params": 250, "images": 400, "safetensors": 400, "parquet": 150, "pth": 60, "mnist": 60, "labels": 6, "names": 80,
    "tars": 80, "lpips": 80,
}  # fmt: skip


@pytest.mark.parametrize("name", fuzz.CAMPAIGNS)
def test_hostile_input_is_taken_whole_or_refused_in_one_line(name):
    campaign, _ = fuzz.CAMPAIGNS[name]
    found = campaign(SMALL[name], seed=1)
    assert found.lost == 0, found.failures
    assert found.tried >= SMALL[name] * 0.9 and found.happened[fuzz.REFUSED] > found.tried / 20


# Some minutes together: pipeline/test_stages.py kills a cell, and models/test_training.py ends trainings.
@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.parametrize(("name", "count"), [("cell", 2), ("train", 1), ("repro", 1)])
def test_what_was_killed_goes_on_to_the_same_bytes(name, count):
    campaign, _ = kills.CAMPAIGNS[name]
    found = campaign(count, seed=1)
    assert found.lost == 0, found.failures
    assert found.tried == count


@pytest.mark.exhaustive  # pipeline/test_stages.py has refused writes
@pytest.mark.slow
def test_a_full_disk_is_one_line_and_loses_nothing():
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("no `unshare -rm` (user namespaces) on this machine")
    found = kills.full_disks(3, seed=0)  # a cell, a training, images
    assert found.lost == 0, found.failures
    assert len(found.happened) == found.tried == 3


@pytest.mark.exhaustive  # a minute
@pytest.mark.slow
def test_of_two_repros_one_is_told_to_wait():
    found = kills.two_repros(1, seed=1)
    assert found.lost == 0, found.failures


def test_what_is_killed_is_a_process_of_its_own(tmp_path):
    """And no fork of `forked_python.py`, in which what is left is looked at."""
    process = kills.started(Repository(tmp_path, tmp_path, forked=True), "sh", "-c", "command -v python")
    assert process.communicate()[0] == f"{Path(sys.executable).parent / 'python'}\n"


BUSY = """ERROR: failed to reproduce 'plan': '/a b/analysis/list.json' is busy, it is being blocked by:
  (PID 24353): python -m dvc repro

If there are no processes with such PIDs, you can manually remove '/a b/.dvc/tmp/rwlock' and try again.
"""


@pytest.mark.parametrize(
    ("said", "waits"),
    [
        (f"Stage 'check' didn't change, skipping\n{BUSY}", True),
        ("ERROR: Unable to acquire lock. Most likely another DVC process is running or", True),
        (BUSY.replace("24353", "24354"), False),
        (f"ERROR: failed to reproduce 'prepare': out of luck\n{BUSY}", False),
        ("ERROR: failed to reproduce 'check': failed to run: python -P", False),
        ("", False),
    ],
)
def test_only_a_lock_is_a_reason_to_wait(said, waits):
    assert kills._told_to_wait(said, 24353) is waits


def test_a_run_that_was_over_before_its_moment_is_drawn_again():
    found, turns = outcome.Outcome("killed"), 0
    for _ in kills._until(found, 3):
        turns += 1
        if turns % 2:
            found.add("killed")
    assert (found.tried, turns) == (3, 5)
    with pytest.raises(SystemExit, match="killed: of 20 only 0 were not over before their moment"):
        list(kills._until(outcome.Outcome("killed"), 2))


def test_a_campaign_counts_what_goes_wrong():
    found = outcome.Outcome("made")
    fuzz.survived(found, lambda: 1, lambda: "x", lambda value: value == 1)
    fuzz.survived(found, lambda: 2, lambda: "x", lambda value: value == 1)
    fuzz.survived(found, lambda: 1 // 0, lambda: "y", lambda value: True)
    assert (found.tried, found.lost, found.happened[fuzz.TAKEN]) == (3, 2, 1)
    assert found.failures == ["a wrong result for x", "ZeroDivisionError: integer division or modulo by zero for y"]


def test_mutations_differ_and_are_seeded():
    text = (ROOT / "params.yaml").read_text()
    for mutate in (fuzz.restructured, fuzz.retyped):
        made = [mutate(text, random.Random(seed)) for seed in range(40)]
        assert made == [mutate(text, random.Random(seed)) for seed in range(40)]
        assert len(set(made)) > 30 and text.encode() not in made[:5]


def test_the_page_has_the_last_campaigns_figures():
    figures = json.loads(stress.FIGURES.read_text(encoding="utf-8"))
    assert set(fuzz.CAMPAIGNS) | set(kills.CAMPAIGNS) <= set(figures) <= set(stress.CAMPAIGNS)
    page = stress.PAGE.read_text(encoding="utf-8")
    assert outcome.table(list(figures.values())) in page
    assert all(row["lost"] == 0 for row in figures.values())
    assert figures["params"]["tried"] >= 2000
    assert all(figures[name]["tried"] >= 50 for name in ("repro", "cell", "train"))
