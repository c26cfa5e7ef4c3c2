"""The project where a team's machines put it: worktrees, shallow clones, no git, read-only data, readers, queues."""

import os
import shutil
import subprocess
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import made_digits
from repositories import Repository, made

from transferbench.artefacts import TensorFile, write_tensors

CELL = "adversarial/fnn0/fgsm.safetensors"


@pytest.fixture(scope="module")
def author(tmp_path_factory) -> Repository:
    """Who ran everything, in a folder whose name is not everybody's, on data that cannot be written to."""
    folder = tmp_path_factory.mktemp("zwei Wörter 数据 $HOME 'q'")
    digits = made_digits(folder / "digits", train=12, contrast=150)
    for path in (*digits.rglob("*"), digits):
        path.chmod(0o555 if path.is_dir() else 0o444)
    (folder / "author").mkdir()
    found = made(folder / "author", digits)
    found.edit(lambda values: values.update(sources=["fnn0"]))
    before = _listing(digits)
    found.repro()
    assert _listing(digits) == before
    found.commit("results")
    found.dvc("remote", "add", "--local", "--default", "team", remote_of(found))
    found.dvc("push", "--quiet")
    return found


def remote_of(repository: Repository) -> str:
    """A folder beside the author's, for DVC cannot write any but ASCII letters into its configuration."""
    return str(repository.path.parents[1] / "remote")


def _listing(folder: Path) -> list[tuple[str, int, int]]:
    """Every file, its size and when it was changed."""
    return [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(folder.rglob("*"))]


@pytest.mark.slow
def test_a_name_of_another_script_changes_no_byte(author, tmp_path):
    (tmp_path / "plain").mkdir()
    plain = made(tmp_path / "plain", Path(author.environment["MADE_DIGITS"]))
    plain.edit(lambda values: values.update(sources=["fnn0"]))
    plain.repro("attack@fnn0-fgsm")
    assert (plain.path / CELL).read_bytes() == (author.path / CELL).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["worktree", "shallow", "no git"])
def test_pulled_there_nothing_runs(author, tmp_path, kind):
    path = tmp_path / "there"
    if kind == "worktree":
        author.run("git", "worktree", "add", "--quiet", str(path))
    elif kind == "shallow":
        author.run("git", "clone", "--quiet", "--depth", "1", f"file://{author.path}", str(path))
        assert Repository(path, tmp_path).run("git", "rev-list", "--count", "HEAD").strip() == "1"
    else:
        author.run("git", "worktree", "add", "--quiet", "--detach", str(path))
        (path / ".git").unlink()
    there = Repository(path, tmp_path / "not here")
    if kind == "no git":
        there.environment["GIT_CEILING_DIRECTORIES"] = str(tmp_path)
        assert "is not a git repository" in there.dvc("status", code=255)
        there.dvc("config", "--local", "core.no_scm", "true")
    there.dvc("remote", "add", "--local", "--default", "team", remote_of(author))
    there.dvc("pull", "--quiet")
    assert there.repro() == set()
    if kind == "no git":  # it computes there, too
        for stage, made in (("attack", CELL), ("evaluate", "metrics/fnn0/fgsm.json")):
            (path / made).unlink()
            assert there.repro("--force", "--single-item", f"{stage}@fnn0-fgsm") == {f"{stage}@fnn0-fgsm"}
            assert (path / made).read_bytes() == (author.path / made).read_bytes()
        assert there.repro() == set()
    assert (path / CELL).read_bytes() == (author.path / CELL).read_bytes()


@pytest.mark.slow
def test_queued_experiments_run_side_by_side(author, tmp_path):
    """As docs/sharing.md shows it: two changes, two workers; each reruns its own cells alone."""
    path = tmp_path / "queue"
    author.run("git", "clone", "--quiet", str(author.path), str(path))
    one = Repository(path, Path(author.environment["MADE_DIGITS"]))
    one.run("git", "remote", "remove", "origin")  # DVC's queue copies git's configuration, ASCII letters alone
    one.dvc("remote", "add", "--local", "--default", "team", remote_of(author))
    one.dvc("pull", "--quiet")
    for epsilon in (40, 70):
        name, change = f"e{epsilon}", f"attacks.fgsm.epsilon={epsilon}"
        one.dvc("exp", "run", "--queue", "--name", name, "-S", change, "-S", f"attacks.fgsm.step_size={epsilon}")
    one.dvc("queue", "start", "-j", "2")
    end = time.monotonic() + 240
    while time.monotonic() < end:
        status = one.dvc("queue", "status")
        if not any(word in status for word in ("Queued", "Running")):
            break
        time.sleep(1)
    assert status.count("Success") == 2, status + "".join(one.dvc("queue", "logs", f"e{e}") for e in (40, 70))
    # what docs/sharing.md says of collecting: no commit names what experiments have made
    experiments = one.run("git", "for-each-ref", "--format=%(objectname)", "refs/exps").split()
    locks = [yaml.safe_load(one.run("git", "show", f"{name}:dvc.lock"))["stages"] for name in experiments]
    cells = [lock["attack@fnn0-fgsm"]["outs"][0]["md5"] for lock in locks]
    commits = ("gc", "--force", "--all-commits")
    dry = one.dvc(*commits, "--dry")
    assert len(set(cells)) == 2 and all(f"{cell[:2]}/{cell[2:]}" in dry for cell in cells)
    one.dvc(*commits, "--all-experiments")
    clean = None
    for epsilon in (40, 70):
        log = one.dvc("queue", "logs", f"e{epsilon}")
        assert "attack@fnn0-sg_igsm' didn't change" in log and "train@fnn0' didn't change" in log
        one.dvc("exp", "apply", f"e{epsilon}")
        file = TensorFile(path / CELL)
        assert file.metadata["epsilon"] == str(epsilon)
        clean = TensorFile(path / "subset/images.safetensors")["images"].astype(int)
        assert np.abs(file["images"] - clean).max() == epsilon
    assert clean is not None


def _read(path: Path) -> int:
    file = TensorFile(path)
    return int(file["images"].astype(np.int64).sum())


def test_many_workers_read_one_file_at_once(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (64, 3, 32, 32), np.uint8)
    write_tensors(tmp_path / "a.safetensors", {"images": images})
    with ProcessPoolExecutor(8, get_context("fork")) as pool:
        found = list(pool.map(_read, [tmp_path / "a.safetensors"] * 64))
    assert set(found) == {int(images.astype(np.int64).sum())}


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="as root alone, chmod does not keep writers out: a mount does")
def test_data_on_a_disk_that_is_mounted_read_only(author, tmp_path):
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("no `unshare -m` on this machine")
    digits = author.environment["MADE_DIGITS"]
    script = (
        f'mount --bind "{digits}" "{digits}" && mount -o remount,ro,bind "{digits}" && ! touch "{digits}/x" 2>/dev/null'
        f' && cd "{author.path}" && dvc repro --force --single-item prepare'
    ).replace("$HOME", "\\$HOME")
    author.run("unshare", "-m", "sh", "-c", script)
    assert author.run("git", "status", "--porcelain") == ""
