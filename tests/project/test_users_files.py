"""A user's own files survive whatever is run: they are named, and neither removed nor written over."""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from builders import ROOT
from click.testing import CliRunner
from command_line import git, told
from repositories import PARAMS, Repository, made_on_digits

from crossfool.cli import console, repair_locks, stand_ins
from crossfool.cli.main import main
from crossfool.errors import UserError
from crossfool.experiment import dvc_records, leftover_files, loading, params_file, protected_folders
from crossfool.experiment.config import Experiment
from crossfool.storage.tensors import write_tensors

MODEL = "fnn0"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone with two experiments beside the root's, and nothing in it but params.yaml."""
    for name in (".", "experiments/mine", "experiments/other"):
        (tmp_path / "clone" / name).mkdir(parents=True, exist_ok=True)
        values = PARAMS | {"root": "." if name == "." else "../.."}
        (tmp_path / "clone" / name / "params.yaml").write_text(params_file.to_yaml(values))
    return tmp_path / "clone"


def load(folder: Path, **sections: Any) -> Experiment:
    values = PARAMS | {"root": "." if (folder / "experiments").is_dir() else "../.."} | sections
    (folder / "params.yaml").write_text(params_file.to_yaml(values))
    return loading.load_experiment(folder / "params.yaml")


def refused(folder: Path, key: str, path: str) -> str:
    section, name = key.split(": ")
    values = {section: {**PARAMS[section], name: path}}
    with pytest.raises(UserError) as caught:
        load(folder, **values)
    said = str(caught.value)
    assert f"{key}: {path} " in said and "a folder that stages write" in said and "such as own/" in said
    assert "\n" not in said
    return said


KEYS = ["weights: dir", "dataset: path"]


@pytest.mark.parametrize("name", protected_folders.WRITTEN_FOLDERS)
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("folder", [".", "experiments/mine"])
def test_a_folder_that_stages_write_is_refused(clone, folder, key, name):
    place = clone / folder
    for path, relation in (
        (name, "is"),
        (f"{name}/", "is"),
        (f"./{name}/deeper/photos.tar", "lies in"),
        (f"own/../{name}", "is"),
        (name.upper(), "is"),
        (str(clone / folder / name), "is"),
        (os.path.relpath(clone / "experiments/other" / name, place), "is"),
        (os.path.relpath(clone / name / "x", place), "lies in"),
    ):
        assert f" {relation} " in refused(place, key, path)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("path", [".", "..", "../..", "../other"])
def test_a_folder_that_holds_one_is_refused(clone, key, path):
    assert "holds" in refused(clone / "experiments/mine", key, path)


@pytest.mark.parametrize("key", KEYS)
def test_links_variables_and_home_are_followed(clone, key, tmp_path, monkeypatch):
    mine = clone / "experiments/mine"
    (mine / "weights").mkdir()
    (mine / "link").symlink_to("weights", target_is_directory=True)
    monkeypatch.setenv("MINE", str(mine))
    monkeypatch.setenv("HOME", str(mine))
    for path in ("link", "link/deeper", "$MINE/data/x.tar", "~/predictions"):
        refused(mine, key, path)
    # the folder that stages write may itself lead elsewhere
    (tmp_path / "disk").mkdir()
    (mine / "data").symlink_to(tmp_path / "disk", target_is_directory=True)
    refused(mine, key, str(tmp_path / "disk/photos"))


def test_a_part_of_a_data_set_and_a_linked_file_are_followed_too(clone):
    mine = clone / "experiments/mine"
    (mine / "own").mkdir()
    (mine / "weights").mkdir()
    (mine / "own/part").symlink_to("../weights", target_is_directory=True)
    with pytest.raises(UserError, match="dataset: folder: part is "):
        load(mine, dataset={**PARAMS["dataset"], "path": "own", "folder": "part"})
    (mine / "weights/timm_a.safetensors").touch()
    (mine / "own/timm_a.safetensors").symlink_to("../weights/timm_a.safetensors")
    changes = {"models": ["timm_a"], "sources": ["timm_a"], "training": None, "weights": {"dir": "own"}}
    with pytest.raises(UserError, match=r"weights: dir: .*own/timm_a.safetensors lies in "):
        load(mine, dataset={"name": "imagenet-sample"}, **changes)


@pytest.mark.parametrize(
    "path", ["own", "own/weights", "../../own", "photos.tar", "weights2", "my data", "$NOT_SET/weights", "~", "/"]
)
def test_folders_of_the_users_own_are_taken(clone, path, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))  # which holds the clone, as a home does
    mine = clone / "experiments/mine"
    assert load(mine, weights={"dir": path}).weights.dir == path
    assert load(mine, dataset={**PARAMS["dataset"], "path": path}).dataset.path == path


def test_a_zero_byte_in_a_path_is_one_line(clone):
    with pytest.raises(UserError, match=r"weights: dir: .* holds a zero byte"):
        load(clone, weights={"dir": "a\0b"})


# --- by DVC -----------------------------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    return made_on_digits(tmp_path, monkeypatch, train=2)


OWN = ("weights/fnn0.safetensors", "weights/models/imagenet/Linf/Salman2020Do_R18.pt", "data/photos.tar")


@pytest.mark.parametrize("section", [{"weights": {"dir": "weights"}}, {"weights": {}}], ids=["named", "not named"])
def test_a_users_weights_survive_every_command(repository, section):
    folder = repository.path
    for name in OWN:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"my {name}")
    repository.edit(lambda values: values.update(section))
    said = repository.dvc("repro", code=255)
    assert "move it" in said or "give a folder of your own" in said
    assert "Traceback" not in said and "remove-leftovers" not in said and len(re_errors(said)) == 1
    said = told("check", str(folder), code=2)
    assert "remove-leftovers" not in said and (
        "give a folder of your own" in said or "move it away, such as to own/" in said
    )
    said = repository.run(sys.executable, "-P", "stages/select.py", code=2)
    assert said.count("\n") == 1 and "remove-leftovers" not in said
    for options in ([], ["--yes"]):
        done = CliRunner().invoke(main, ["remove-leftovers", str(folder), *options])
        assert "deleted" not in done.output and done.exit_code == (2 if section["weights"] else 0)
    assert [(folder / name).read_text() for name in OWN] == [f"my {name}" for name in OWN]


def re_errors(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith("error: ")]


@pytest.mark.parametrize("name", ["weights/fnn0.safetensors", "data/images.safetensors", "data/train.safetensors"])
@pytest.mark.parametrize("content", [b"", b"mine", b"\x02\0\0\0\0\0\0\0{}", b"\xff" * 9])
def test_a_file_where_a_stage_writes_is_told_from_one_of_ours(tmp_path, name, content):
    outputs = [Path(name)]
    protected_folders.refuse_foreign_outputs(tmp_path, outputs)
    write_tensors(tmp_path / name, {}, {"model": "{}"})
    protected_folders.refuse_foreign_outputs(tmp_path, outputs)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name} was not made by crossfool.*move it away, such as to own/"):
        protected_folders.refuse_foreign_outputs(tmp_path, outputs)
    header = json.dumps({"__metadata__": {"format": "pt"}}).encode()  # as other libraries write it
    (tmp_path / name).write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(UserError, match="was not made by crossfool"):
        protected_folders.refuse_foreign_outputs(tmp_path, outputs)


def test_a_table_where_a_stage_writes_is_told_from_one_of_ours(tmp_path):
    (tmp_path / "data").mkdir()
    for text, mine in (("id,label,file\n0,1,a.png\n", False), ("", True), ("file,label\na.png,1\n", True)):
        (tmp_path / "data/images.csv").write_text(text)
        if not mine:
            protected_folders.refuse_foreign_outputs(tmp_path, [Path("data/images.csv")])
            continue
        with pytest.raises(UserError, match=r"data/images.csv was not made by crossfool"):
            protected_folders.refuse_foreign_outputs(tmp_path, [Path("data/images.csv")])


# --- remove-leftovers -------------------------------------------------------------------------------------------

TAKEN = ("predictions/fnn0/far.parquet", "predictions/fnn2+fnn0/far.parquet", "adversarial/fnn0/far.safetensors")


@pytest.fixture
def taken(small: Path) -> Path:
    """The made experiment without its attack `far`, whose files are recorded; and a file of the user's."""
    values = params_file.parse_strict((small / "params.yaml").read_text(encoding="utf-8"))
    del values["attacks"]["far"]
    (small / "params.yaml").write_text(params_file.to_yaml(values), encoding="utf-8")
    (small / "metrics/fnn0/notes.txt").write_text("mine", encoding="utf-8")
    for path in (*small.glob("metrics/*/far.*"), *small.glob("transformed/*/far.*")):
        path.unlink()  # these the made lock does not name
    return small


def left(folder: Path) -> list[str]:
    found = leftover_files.find_leftovers(
        folder, loading.load_experiment(folder / "params.yaml"), *leftover_files.FOLDERS
    )
    return [path.relative_to(folder).as_posix() for path in found]


def recorded(folder: Path) -> list[str]:
    return [name for name in left(folder) if name != "metrics/fnn0/notes.txt"]


def test_tidy_deletes_what_is_recorded_and_nothing_else(taken):
    names = recorded(taken)
    assert set(TAKEN) <= set(names)
    said = told("remove-leftovers", str(taken), "--yes")
    assert said.count("deleted ") == len(names) and all(f"deleted {taken / name}\n" in said for name in names)
    assert f"not made by crossfool, left alone: {taken / 'metrics/fnn0/notes.txt'}\n" in said
    assert left(taken) == ["metrics/fnn0/notes.txt"]
    assert "nothing else is left over" in told("remove-leftovers", str(taken), "--yes")


def test_tidy_leaves_a_recorded_file_that_was_written_over(taken):
    (taken / TAKEN[0]).write_bytes(b"mine")
    assert f"left alone: {taken / TAKEN[0]}" in told("remove-leftovers", str(taken), "--yes")
    assert (taken / TAKEN[0]).read_bytes() == b"mine" and not (taken / TAKEN[1]).exists()


def test_tidy_without_a_terminal_deletes_nothing(taken):
    before = left(taken)
    said = told("remove-leftovers", str(taken), code=2)  # one line
    assert "nothing was deleted" in said and "give --yes" in said and left(taken) == before
    done = CliRunner().invoke(main, ["remove-leftovers", str(taken)], input="y\n")
    assert done.exit_code == 2 and left(taken) == before


@pytest.mark.parametrize("answer", ["y", "n", ""])
def test_tidy_asks_on_a_terminal(taken, answer, monkeypatch):
    monkeypatch.setattr(console, "asks", lambda: True)
    before, names = left(taken), recorded(taken)
    done = CliRunner().invoke(main, ["remove-leftovers", str(taken)], input=f"{answer}\n")
    assert done.exit_code == 0 and f"delete these {len(names)} files? [y/N]" in done.output
    assert all(str(taken / name) in done.output.partition("delete these")[0] for name in names)
    assert left(taken) == (["metrics/fnn0/notes.txt"] if answer == "y" else before)


@pytest.mark.parametrize("where", ["commits", "an experiment of DVC's", "the run cache"])
def test_what_is_recorded_elsewhere_is_ours_too(taken, where):
    project = taken.parents[1]
    text = (taken / "dvc.lock").read_text(encoding="utf-8")
    names = recorded(taken)
    if where == "the run cache":
        stages = params_file.parse_lenient(text)["stages"].values()
        for number, stage in enumerate(stages):
            place = project / ".dvc/cache/runs" / f"{number:02x}" / "key" / "value"
            place.parent.mkdir(parents=True)
            place.write_text(params_file.to_yaml(stage), encoding="utf-8")
        git(project, "update-ref", "-d", "HEAD")  # no commit is left
    (taken / "dvc.lock").unlink()
    if where == "commits":
        git(project, "add", "--all")
        git(project, "commit", "--quiet", "--message", "no lock")
    elif where == "an experiment of DVC's":
        git(project, "update-ref", "refs/exps/ab/cdef/reeky-rort", git(project, "rev-parse", "HEAD").strip())
        git(project, "update-ref", "-d", "HEAD")
    ours, others = dvc_records.divide_by_origin(taken, [taken / name for name in left(taken)])
    assert [path.relative_to(taken).as_posix() for path in ours] == names
    assert others == [taken / "metrics/fnn0/notes.txt"]


def test_outside_repositories_nothing_is_ours(tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/a").write_text("mine")
    assert dvc_records.divide_by_origin(tmp_path, [tmp_path / "weights/a"]) == ([], [tmp_path / "weights/a"])


def test_a_refusal_advises_tidy_for_what_tidy_deletes_alone(taken):
    experiment = loading.load_experiment(taken / "params.yaml")
    with pytest.raises(UserError, match=r"notes.txt was not made by crossfool.*move it to a folder of your own"):
        leftover_files.refuse_leftovers(taken, experiment, *leftover_files.FOLDERS)
    (taken / "metrics/fnn0/notes.txt").unlink()
    with pytest.raises(UserError, match=r"belongs to no model, source or attack .* `crossfool remove-leftovers`"):
        leftover_files.refuse_leftovers(taken, experiment, *leftover_files.FOLDERS)


# --- what else is written over or deleted -------------------------------------------------------------------


def test_smoke_writes_into_no_folder_of_somebody_elses(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    important = tmp_path / "important"
    for name in ("stages/mine.py", "crossfool/mine.txt", ".dvc/config", "experiments/modern/params.yaml"):
        for path in (important / name, tmp_path / f"alone-{name.split('/')[0]}" / name):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("mine")
    (tmp_path / "file").write_text("mine")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for folder in (important, *tmp_path.glob("alone-*"), tmp_path / "file"):
        said = told("smoke", "--folder", str(folder), code=2)
        assert "was not made by `crossfool smoke`" in said and "give an empty folder" in said
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_smoke_takes_an_empty_folder_and_its_own(tmp_path):
    (tmp_path / "small").mkdir()
    for _ in range(2):
        assert stand_ins.build_experiments(ROOT, tmp_path / "small", stand_ins.STAND_INS)


@pytest.mark.parametrize("name", ["params.yaml", "notes.html", "experiments/small/metrics/fnn0/fgsm.json"])
def test_report_writes_over_no_file_of_somebody_elses(small, name, monkeypatch):
    monkeypatch.chdir(small.parents[1])
    if not Path(name).exists():
        Path(name).write_text("<!DOCTYPE html><p>mine")
    before = Path(name).read_bytes()
    said = told("report", "small", "--out", name, code=2)
    assert f"{name} exists and is not a report of crossfool" in said and Path(name).read_bytes() == before


def test_report_writes_over_a_report(small, monkeypatch):
    monkeypatch.chdir(small.parents[1])
    for _ in range(2):
        told("report", "small", "--out", "page.html")
    assert "is not a report" in told("report", "small", "--out", os.devnull, code=2) and not Path(os.devnull).is_file()


def test_a_new_experiment_leaves_what_is_in_its_way(project, monkeypatch):
    monkeypatch.chdir(project)
    there = project / "experiments" / f".mine.{os.getpid()}.tmp"
    there.mkdir()
    (there / "mine").touch()
    told("new", "mine", code=2)
    assert (there / "mine").exists()


def test_mend_leaves_a_merge_to_who_merges(project):
    shutil.copy(ROOT / "params.yaml", project)
    text = "schema: '2.0'\n<<<<<<< HEAD\nstages: {}\n=======\nstages: {a: 1}\n>>>>>>> other\n"
    (project / "dvc.lock").write_text(text)
    with pytest.raises(UserError, match="contains a merge conflict; take one side"):
        repair_locks.repair(project)
    assert (project / "dvc.lock").read_text() == text
