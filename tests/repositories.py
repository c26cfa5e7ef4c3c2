"""Git repositories with the project's graph on a tiny made data set, and DVC to run in them.

The data: 28x28 images of ten classes, a bright square in one of ten places, which fully connected
networks learn in a few epochs. What runs is read off DVC's own "Running stage" lines.
"""

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import forked_python
import pytest
import yaml
from builders import EMPTY, ROOT
from made_datasets import made_digits

AUTHOR = {f"GIT_{who}_{what}": "a@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
PARAMS = {
    "root": ".",
    "dataset": {"name": "imagefolder", "path": "$MADE_DIGITS", "classes": "mnist", "folder": "test",
                "train_folder": "train"},
    "models": ["fnn0", "fnn2"],
    "weights": {},
    "training": {"epochs": 6, "batch_size": 10, "learning_rate": 0.05},
    "subset": {"images": 12, "seed": 0, "targets": "random"},
    "compute": {"precision": "float32", "chunk": 5},
    "sources": ["fnn0", "fnn0+fnn2"],
    "attacks": {
        "fgsm": {"epsilon": 100, "steps": 1, "step_size": 100},
        "sg_igsm": {"epsilon": 100, "steps": 2, "step_size": 50, "gradient": "smoothed", "samples": 3, "sigma": 15},
    },
    "transforms": {"jpeg": [30]},
    **EMPTY,
}  # fmt: skip


class Repository:
    """A git repository with the project's graph, and DVC to run in it.

    `forked`: on Linux, Python commands, and the stages that DVC starts, are forks of a process that has imported the
    libraries (`forked_python.py`): each takes a second or two of a processor less.
    """

    def __init__(self, path: Path, digits: Path, *, forked: bool = False) -> None:
        self.path = path
        self.forked = forked and sys.platform == "linux" and forked_python.server().is_ready
        names = ("PATH", "HOME", "LANG", "PIP_CERT", "TMPDIR", "CROSSFOOL_CACHE")
        self.environment = {name: os.environ[name] for name in names if name in os.environ}
        self.environment |= {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",  # tiny networks, as many test processes as cores: threads would wait for each other
            "MADE_DIGITS": str(digits),
            "GIT_CONFIG_GLOBAL": os.devnull,
            **AUTHOR,
        }  # fmt: skip
        if self.forked:
            self.environment["PATH"] = f"{forked_python.server().bin}{os.pathsep}{self.environment['PATH']}"

    @property
    def unforked(self) -> dict[str, str]:
        """The environment variables with which all commands, and the stages of DVC, are processes of their own."""
        forks = f"{forked_python.server().bin}{os.pathsep}" if self.forked else ""
        return self.environment | {"PATH": self.environment["PATH"].removeprefix(forks)}

    def run(self, *command: str, code: int = 0) -> str:
        if self.forked and command[0] == sys.executable:
            ended, text = forked_python.run_python(command[1:], self.path, self.environment)
        else:
            done = subprocess.run(
                command,
                cwd=self.path,
                env=self.environment,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            ended, text = done.returncode, done.stdout
        assert ended == code, f"{' '.join(command)} ended with {ended}:\n{text}"
        return text

    def dvc(self, *arguments: str, code: int = 0) -> str:
        return self.run(sys.executable, "-m", "dvc", *arguments, code=code)

    def repro(self, *arguments: str) -> set[str]:
        """The stages that `dvc repro` ran; those taken from the run cache are not among them."""
        return set(re.findall(r"^Running stage '([^']+)'", self.dvc("repro", *arguments), re.MULTILINE))

    def commit(self, message: str) -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", message)

    def edit(self, change) -> None:
        values = yaml.safe_load((self.path / "params.yaml").read_text())
        change(values)
        (self.path / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))

    def metrics(self, name: str) -> dict:
        return json.loads((self.path / "metrics" / name).read_text())


def made(path: Path, digits: Path, *, forked: bool = False) -> Repository:
    """A repository in an empty folder, its first commit made, nothing run."""
    for name in ("stages", "crossfool", "own", ".dvc/config", ".dvcignore", ".gitattributes", ".gitignore", "dvc.yaml"):
        source, target = ROOT / name, path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            # with what Python has compiled of it, which stays valid, but for what it is just writing
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.pyc.*"))
        else:
            shutil.copy(source, target)
    repository = Repository(path, digits, forked=forked)
    (path / "params.yaml").write_text(yaml.safe_dump(PARAMS, sort_keys=False))
    repository.run("git", "init", "--quiet")
    repository.commit("start")
    return repository


def made_on_digits(folder: Path, monkeypatch: pytest.MonkeyPatch, *, train: int) -> Repository:
    """A repository as `made` makes it, in `folder`/made, on so many training digits, which this process finds too."""
    (folder / "made").mkdir()
    repository = made(folder / "made", made_digits(folder / "digits", train=train, contrast=150), forked=True)
    monkeypatch.setenv("MADE_DIGITS", str(folder / "digits"))
    return repository


def finished(folder: Path, temporary: pytest.TempPathFactory) -> Repository:
    """A repository as `made` makes it, of the source fnn0 alone, in which `dvc repro` has run, in `folder`.

    It runs once for all test processes; `folder`, which may not be there yet, is a copy. What has run is not committed.
    """
    base = temporary.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "finished"
    shared.mkdir(exist_ok=True)
    with open(shared / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "done").exists():
            for name in ("digits", "made"):
                shutil.rmtree(shared / name, ignore_errors=True)
            (shared / "made").mkdir()
            first = made(shared / "made", made_digits(shared / "digits", train=12, contrast=150), forked=True)
            first.edit(lambda values: values.update(sources=["fnn0"]))
            first.repro()
            (shared / "done").touch()
    shutil.copytree(shared / "made", folder, symlinks=True)
    return Repository(folder, shared / "digits", forked=True)
