"""`crossfool new`: names, templates, and paths that lead where they led."""

from pathlib import Path

import pytest
from builders import ROOT
from command_line import told
from made_experiments import make

from crossfool.cli import new
from crossfool.errors import UserError
from crossfool.experiment import loading


@pytest.mark.parametrize("name", ["../x", "a b", "", ".", "-x", "a/b", "ä", ".hidden", "x\n"])
def test_bad_names_are_refused(project: Path, name: str) -> None:
    with pytest.raises(UserError, match="is no name for an experiment"):
        new.make_experiment(name, project)
    assert list((project / "experiments").iterdir()) == []


def test_a_new_experiment(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    text = told("new", "mine")
    folder = project / "experiments/mine"
    assert (folder / "dvc.yaml").read_bytes() == (ROOT / "dvc.yaml").read_bytes()
    assert not (folder / "dvc.yaml").is_symlink()
    experiment = loading.load_experiment(folder / "params.yaml")
    assert (folder / experiment.root).resolve() == project
    assert "dvc repro experiments/mine/dvc.yaml" in (folder / "README.md").read_text(encoding="utf-8")
    assert "dvc repro experiments/mine/dvc.yaml" in text and "crossfool check experiments/mine" in text
    assert "experiments/mine is there already; take another name" in told("new", "mine", code=2)
    assert sorted(path.name for path in (project / "experiments").iterdir()) == ["mine"]


def test_a_new_experiment_from_another(project: Path, small: Path) -> None:
    text = (small / "params.yaml").read_text(encoding="utf-8") + "# the last line\n"
    (small / "params.yaml").write_text(text, encoding="utf-8")
    folder = new.make_experiment("mine", small, "small")
    assert (folder / "params.yaml").read_text(encoding="utf-8") == text.replace("root: .\n", "root: ../..\n")
    with pytest.raises(UserError, match="unknown experiment 'smal'; did you mean small"):
        new.make_experiment("other", project, "smal")
    (small / "params.yaml").write_text("root: 3\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"params.yaml"):
        new.make_experiment("other", project, "small")
    assert not (project / "experiments/other").exists()


def test_relative_paths_lead_where_they_led(project: Path) -> None:
    make(project, {}, dataset={"name": "imagefolder", "path": "my photos", "classes": "mnist", "train_folder": "t"})
    folder = new.make_experiment("mine", project, ".")
    experiment = loading.load_experiment(folder / "params.yaml")
    assert (experiment.dataset.path, experiment.root) == ("../../my photos", "../..")


def test_new_outside_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "is in no crossfool repository" in told("new", "mine", code=2)
