"""A dvc.lock that was cut off while DVC wrote it: put back, and nothing that has run runs again."""

import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from forked_python import run_python
from repositories import AUTHOR

from crossfool.cli import repair_locks
from crossfool.errors import UserError

STAGES = 8
PARAMS = "numbers: {a: 1, b: 1}\n"


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """A DVC repository of some stages of `cp`, run, committed, and run again after a change of params."""
    folder = tmp_path_factory.mktemp("started") / "a b"
    folder.mkdir()
    stages = {
        f"stage{number}": {
            "cmd": f"cp params.yaml out{number}", "params": ["numbers"], "deps": ["given"], "outs": [f"out{number}"],
        }
        for number in range(STAGES)
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("GIT_")]:
            patch.delenv(name)
        for name, value in AUTHOR.items():
            patch.setenv(name, value)
        patch.chdir(folder)
        (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
        (folder / "params.yaml").write_text(PARAMS)
        (folder / "given").write_text("x")
        run("git", "init", "--quiet")
        run(sys.executable, "-m", "dvc", "init", "--quiet")
        assert len(repro()) == STAGES
        run("git", "add", "--all")
        run("git", "commit", "--quiet", "--message", "run")
        (folder / "params.yaml").write_text(PARAMS.replace("1", "2"))
        assert len(repro()) == STAGES
    return folder


@pytest.fixture
def small(started, tmp_path, monkeypatch):
    """A copy of it, which is the folder that the test works in."""
    for name, value in AUTHOR.items():
        monkeypatch.setenv(name, value)
    shutil.copytree(started, tmp_path / "a b")
    monkeypatch.chdir(tmp_path / "a b")
    return tmp_path / "a b"


def run(*command, code=0):
    if command[0] == sys.executable:
        ended, text = run_python(command[1:], Path.cwd(), os.environ)
    else:
        done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        ended, text = done.returncode, done.stdout
    assert ended == code, text
    return text


def repro():
    return re.findall("^Running stage", run(sys.executable, "-m", "dvc", "repro"), re.MULTILINE)


@pytest.mark.parametrize("committed", [True, False])
def test_what_has_run_does_not_run_again(small, committed):
    whole = (small / "dvc.lock").read_text()
    if not committed:
        run("git", "rm", "--quiet", "--cached", "dvc.lock")
        run("git", "commit", "--quiet", "--message", "without")
    (small / "dvc.lock").write_text(whole[: whole.index("stage5") + 60].rpartition(":")[0])
    assert "dvc.lock" in run(sys.executable, "-m", "dvc", "repro", code=255)
    said = repair_locks.repair(small)
    assert said.startswith("put back" if committed else "removed"), said
    assert not repro()
    assert (small / "dvc.lock").read_text() == whole
    assert all((small / f"out{number}").read_text() == PARAMS.replace("1", "2") for number in range(STAGES))


def test_wherever_it_was_cut_off_dvc_reads_it_again(small):
    from dvc.dvcfile import Lockfile
    from dvc.repo import Repo

    whole, draw, mended = (small / "dvc.lock").read_bytes(), random.Random(0), 0
    for cut in [0, *draw.sample(range(len(whole)), 30)]:
        (small / "dvc.lock").write_bytes(whole[:cut])
        found = repair_locks.repair(small)
        mended += found is not None
        with Repo(".") as repo:
            assert set(Lockfile(repo, str(small / "dvc.lock")).load()["stages"]) <= {f"stage{n}" for n in range(STAGES)}
        assert found is None or (small / "dvc.lock").read_bytes() == committed()
    assert mended > 10


def committed():
    return subprocess.run(["git", "show", "HEAD:./dvc.lock"], capture_output=True, check=True).stdout


def test_a_whole_one_stays(small):
    whole = (small / "dvc.lock").read_bytes()
    assert repair_locks.repair(small) is None
    (small / "dvc.lock").unlink()
    assert repair_locks.repair(small) is None and not (small / "dvc.lock").exists()
    (small / "dvc.lock").write_bytes(whole)
    assert run(sys.executable, "-m", "crossfool", "repair-locks", ".") == "dvc.lock is whole\n"


def test_what_dvc_may_be_writing_is_left_alone(small):
    from dvc.repo import Repo

    (small / "dvc.lock").write_text("schema: '2.0'\nstages:\n  a")
    with Repo(".") as repo, repo.lock, pytest.raises(UserError, match=r"^a DVC command is at work in .*; wait"):
        repair_locks.repair(small)
    assert (small / "dvc.lock").read_text().endswith("  a")


@pytest.mark.parametrize("left", ["", '{"write": {"a": '])
def test_dvcs_own_lock_that_was_cut_off_is_removed(small, left):
    whole = (small / "dvc.lock").read_bytes()
    (small / ".dvc" / "tmp" / "rwlock").write_text(left)
    assert "rwlock" in run(sys.executable, "-m", "dvc", "repro", code=255)
    assert (
        repair_locks.repair(small)
        == f"removed {os.path.join('.dvc', 'tmp', 'rwlock')}, which was cut off; DVC makes it anew"
    )
    assert not repro() and repair_locks.repair(small) is None
    assert (small / "dvc.lock").read_bytes() == whole


def test_dvcs_own_lock_that_is_whole_stays(small):
    (small / ".dvc" / "tmp" / "rwlock").write_text('{"write": {}, "read": {}}')
    assert repair_locks.repair(small) is None
    assert (small / ".dvc" / "tmp" / "rwlock").read_text() == '{"write": {}, "read": {}}'


def test_outside_a_repository_it_is_one_line(tmp_path):
    with pytest.raises(UserError, match="is not in a DVC repository"):
        repair_locks.repair(tmp_path)
