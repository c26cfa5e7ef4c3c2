"""The project where a team's machines put it: worktrees, shallow clones, no git, read-only data, readers, queues."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import yaml
from builders import ROOT
from made_datasets import made_digits
from repositories import Repository, made

from crossfool.cli import new
from crossfool.experiment import dvc_status, loading
from crossfool.storage.tensors import TensorFile, write_tensors

CELL = "adversarial/fnn0/fgsm.safetensors"


@pytest.fixture(scope="module")
def author(tmp_path_factory) -> Repository:
    """Who ran everything, in a folder whose name is not everybody's, on data that cannot be written to."""
    folder = tmp_path_factory.mktemp("zwei Wörter 数据 $HOME 'q'")
    digits = made_digits(folder / "digits", train=12, contrast=150)
    for path in (*digits.rglob("*"), digits):
        path.chmod(0o555 if path.is_dir() else 0o444)
    (folder / "author").mkdir()
    found = made(folder / "author", digits, forked=True)
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


@pytest.mark.exhaustive  # two runs from beginning to end, unforked
@pytest.mark.slow
def test_a_name_of_another_script_changes_no_byte(author, tmp_path):
    """Nor do forks (`forked_python.py`), in which the author's is computed, and this one is not."""
    (tmp_path / "plain").mkdir()
    plain = made(tmp_path / "plain", Path(author.environment["MADE_DIGITS"]))
    plain.edit(lambda values: values.update(sources=["fnn0"]))
    plain.repro("attack@fnn0-fgsm")
    assert (plain.path / CELL).read_bytes() == (author.path / CELL).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["worktree", "shallow", "no git", "autocrlf"])
def test_pulled_there_nothing_runs(author, tmp_path, kind):
    path = tmp_path / "there"
    if kind == "worktree":
        author.run("git", "worktree", "add", "--quiet", str(path))
    elif kind == "shallow":
        author.run("git", "clone", "--quiet", "--depth", "1", f"file://{author.path}", str(path))
        assert Repository(path, tmp_path).run("git", "rev-list", "--count", "HEAD").strip() == "1"
    elif kind == "autocrlf":
        author.run("git", "clone", "--quiet", "-c", "core.autocrlf=true", str(author.path), str(path))
    else:
        author.run("git", "worktree", "add", "--quiet", "--detach", str(path))
        (path / ".git").unlink()
    there = Repository(path, tmp_path / "not here", forked=True)
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


SETTINGS = {
    "line ends are the system's": ("core.autocrlf=true",),
    "line ends are this system's, always": ("core.autocrlf=true", "core.eol=crlf"),
    "line ends of text are CRLF": ("core.autocrlf=false", "core.eol=crlf", "core.attributesFile={attributes}"),
    "line ends are changed on the way in": ("core.autocrlf=input",),
    "modes are no matter": ("core.fileMode=false", "core.symlinks=false"),
}


@pytest.fixture(scope="module")
def checked(tmp_path_factory) -> Repository:
    """Whose first stage has run; a file of CRLF, and one of bytes, are in it."""
    folder = tmp_path_factory.mktemp("checked")
    (folder / "author").mkdir()
    found = made(folder / "author", folder / "digits", forked=True)
    new.make_experiment("mine", found.path, ".")
    (found.path / "experiments/mine/notes.csv").write_bytes(b"a,b\r\n1,2\r\n")
    (found.path / "experiments/mine/picture.png").write_bytes(bytes(range(256)))
    found.repro("plan")
    found.commit("checked")
    return found


def _share_cache(clone: Path, author: Path) -> None:
    """Set a clone's DVC cache to its author's, as `dvc cache dir --local` does."""
    (clone / ".dvc/config.local").write_text(f"[cache]\n    dir = {author / '.dvc/cache'}\n")


def _committed(repository: Repository, folder: Path) -> dict[str, bytes]:
    names = repository.run("git", "ls-files").splitlines()
    return {name: (folder / name).read_bytes() for name in names}


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_clone_has_every_byte_whatever_git_is_told_of_line_ends(checked, tmp_path, settings):
    (tmp_path / "attributes").write_text("* text=auto eol=crlf\n")
    told = [value.format(attributes=tmp_path / "attributes") for value in SETTINGS[settings]]
    options = [option for value in told for option in ("-c", value)]
    checked.run("git", "clone", "--quiet", *options, str(checked.path), str(tmp_path / "clone"))
    assert _committed(checked, tmp_path / "clone") == _committed(checked, checked.path)
    clone = Repository(tmp_path / "clone", tmp_path)
    clone.run("git", "add", "--renormalize", ".")
    new.make_experiment("another", clone.path, "mine")
    clone.run("git", "add", "--all")
    changed = clone.run("git", "status", "--porcelain").splitlines()
    assert len(changed) == 3 and all("experiments/another/" in line for line in changed)
    _share_cache(clone.path, checked.path)
    stages = {
        stage.kind: stage
        for stage in dvc_status.stage_statuses(clone.path, loading.load_experiment(clone.path / "params.yaml")) or ()
    }
    assert not stages["plan"].runs and stages["prepare"].runs


def test_an_archive_has_every_byte(checked, tmp_path):
    (tmp_path / "there").mkdir()
    archive = f"git -c core.autocrlf=true -c core.eol=crlf archive HEAD | tar -x -C '{tmp_path / 'there'}'"
    checked.run("sh", "-c", archive)
    assert _committed(checked, tmp_path / "there") == _committed(checked, checked.path)


@pytest.mark.parametrize(
    "change", [{"umask": 0o077}, {"TZ": "Asia/Kolkata"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}], ids=str
)
def test_the_machine_makes_no_stage_run(checked, tmp_path, change):
    path = tmp_path / "a b"
    command = ["git", "clone", "--quiet", str(checked.path), str(path)]
    subprocess.run(command, check=True, umask=change.get("umask", -1), env=checked.environment)
    there = Repository(path, tmp_path)
    _share_cache(path, checked.path)
    there.environment |= {name: value for name, value in change.items() if name != "umask"}
    status = json.loads(there.dvc("status", "--json", "plan"))
    # its outputs are in no clone; nothing that it depends on has changed
    deleted = {"analysis/list.json": "deleted", "plan": "deleted"}
    assert status == {"plan": [{"changed outs": deleted}]}


NOBODY = 23456  # a user id without an account


@pytest.mark.skipif(os.getuid() != 0, reason="root alone can become another user")
@pytest.mark.parametrize("home", [None, pytest.param("/", marks=pytest.mark.exhaustive)])
def test_a_user_id_without_an_account(checked, home):
    """As in a container that is run with --user: no name, and no home or one that cannot be written to."""
    if shutil.which("setpriv") is None:
        pytest.skip("no setpriv on this machine")
    become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    if subprocess.run([*become, sys.executable, "-c", ""], capture_output=True).returncode:
        pytest.skip("this Python cannot be run by another user")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "clone"
        shutil.copytree(checked.path, folder)
        made_digits(Path(name) / "digits", train=2, contrast=150)
        for path in (Path(name), *Path(name).rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        environment = {"PATH": os.environ["PATH"], "MADE_DIGITS": f"{name}/digits", "PYTHONPATH": str(ROOT)}
        environment |= {"HOME": home} if home else {}

        def run(*command: str, code: int) -> str:
            done = subprocess.run(
                [*become, sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True
            )
            assert done.returncode == code, done.stderr
            return done.stdout + done.stderr

        assert "valid: 2 models" in run("-m", "crossfool", "check", code=0)
        assert "dvc.lock is whole" in run("-m", "crossfool", "repair-locks", code=0)
        values = yaml.safe_load((folder / "params.yaml").read_text())
        (folder / "params.yaml").write_text(yaml.safe_dump(values | {"dataset": {"name": "imagenet-sample"},
            "models": ["efficientnet_lite0"], "sources": ["efficientnet_lite0"], "training": None}))  # fmt: skip
        run("stages/plan.py", code=0)
        said = run("stages/prepare.py", code=2)
        assert said.endswith("; set CROSSFOOL_CACHE to a folder that can be written to\n") and said.count("\n") == 1


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"], ids=["no mark", "mark"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_params_of_any_editor_are_read(checked, tmp_path, start, end):
    folder = checked.path
    text = (folder / "params.yaml").read_bytes()
    (tmp_path / "params.yaml").write_bytes(start + text.replace(b"\n", end))
    assert loading.load_experiment(tmp_path / "params.yaml") == loading.load_experiment(folder / "params.yaml")
    made = new._copied(tmp_path, tmp_path / "x")
    assert made == text.decode().replace("root: .\n", "root: ../..\n")


@pytest.mark.exhaustive  # test_reruns.py queues one
@pytest.mark.slow
def test_queued_experiments_run_side_by_side(author, tmp_path):
    """As docs/sharing.md shows it: two changes, two workers; each reruns its own cells alone."""
    path = tmp_path / "queue"
    author.run("git", "clone", "--quiet", str(author.path), str(path))
    one = Repository(path, Path(author.environment["MADE_DIGITS"]), forked=True)
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
        time.sleep(3)  # to look takes half a second of a processor
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
    apart = Repository(author.path, Path(digits))  # processes of its own: forks would not see the mount
    script = (
        f'mount --bind "{digits}" "{digits}" && mount -o remount,ro,bind "{digits}" && ! touch "{digits}/x" 2>/dev/null'
        f' && cd "{author.path}" && dvc repro --force --single-item prepare'
    ).replace("$HOME", "\\$HOME")
    apart.run("unshare", "-m", "sh", "-c", script)
    assert apart.run("git", "status", "--porcelain") == ""
