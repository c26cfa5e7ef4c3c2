"""Experiments in small that run from end to end: their stages in DVC's order, in this one process."""

import os
import runpy
import shlex
import sys
import warnings
from pathlib import Path
from typing import Any

import networkx
import pytest

from crossfool.cli import stand_ins


def digit_stand_ins(digits: Path) -> stand_ins.StandIns:
    """Stand-ins of few made digits (`made_datasets.made_digits`), which are decoded in this process."""
    return stand_ins.StandIns(
        {
            "name": "imagefolder",
            "path": str(digits),
            "classes": "mnist",
            "folder": "test",
            "train_folder": "train",
        },
        ("fnn0", "fnn2", "fnn4"),
        {"epochs": 6, "batch_size": 10, "learning_rate": 0.05},
        images=8,
        ids=30,
        points=3,
    )


def in_order(folder: Path) -> list[Any]:
    """All stages of a repository, as DVC reads them, each after those that it depends on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what DVC uses of others is not ours to mend
        from dvc.repo import Repo

        with Repo(str(folder)) as repo:
            return list(networkx.topological_sort(repo.index.graph.reverse()))  # its edges lead to dependencies


def run(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a stage's command as a script, in this process."""
    shell, launcher, kind, *arguments = shlex.split(stage.cmd)
    assert (shell, launcher) == ("sh", "../../stages/run")
    script = f"../../stages/{kind}.py"
    monkeypatch.chdir(stage.wdir)
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    for dependency in stage.deps:
        assert os.path.exists(dependency.fs_path), f"{stage.addressing} lacks {dependency}"
    for out in stage.outs:
        assert not os.path.exists(out.fs_path), f"{out} was there before {stage.addressing}"
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(script, run_name="__main__")
    assert ended.value.code == 0, stage.addressing
    for out in stage.outs:
        assert os.path.exists(out.fs_path), f"{stage.addressing} made no {out}"
