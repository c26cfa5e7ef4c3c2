"""`crossfool upgrade`, the variables of the first edition, and its artefacts, which are read."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from builders import ROOT
from click.testing import CliRunner
from command_line import git, told

from crossfool import first_edition
from crossfool.cli.main import main
from crossfool.errors import UserError
from crossfool.experiment import loading, project
from crossfool.models.weights_file import read_description
from crossfool.pipeline.crafting import weights_record
from crossfool.storage.json_files import write_json
from crossfool.storage.tensors import TensorFile, write_tensors

OLD_GRAPH = """\
stages:
  check:
    cmd: python -P -m transferbench.warm ${root}/stages/check.py
    deps: [params.yaml, '${root}/transferbench/params.py']
"""
OLD_README = """\
    transferbench show experiments/mine
    TRANSFERBENCH_WORKERS=2 dvc repro experiments/mine/dvc.yaml
    transferbench tidy mine && transferbench mend mine
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository whose first commit is of the first edition, and an experiment in it that is of it still."""
    root = tmp_path / "clone"
    mine = root / "experiments/mine"
    mine.mkdir(parents=True)
    (root / "stages").mkdir()
    (root / "dvc.yaml").write_text(OLD_GRAPH)
    shutil.copyfile(root / "dvc.yaml", mine / "dvc.yaml")
    git(root, "init", "--quiet")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "first edition")
    shutil.copyfile(ROOT / "dvc.yaml", root / "dvc.yaml")
    git(root, "commit", "--quiet", "--all", "--message", "this edition")
    text = (ROOT / "experiments/depth-mnist/params.yaml").read_text(encoding="utf-8")
    (mine / "params.yaml").write_text(text.replace("\nsources:", "  # mine\nsources:", 1), encoding="utf-8")
    (mine / "README.md").write_text(OLD_README)
    return root


def upgraded(folder: Path, code: int = 0) -> str:
    return told("upgrade", str(folder), code=code)


def test_an_experiment_of_the_first_edition_is_brought_over(clone: Path) -> None:
    mine = clone / "experiments/mine"
    scratch = mine / ".transferbench/seconds"
    scratch.mkdir(parents=True)
    said = upgraded(mine).splitlines()
    assert [line.split(": ")[0].removeprefix(f"{mine}/") for line in said[:-1]] == [
        *("dvc.yaml", "README.md", ".transferbench")
    ]
    assert said[-1] == f"{mine} is of this edition; `dvc repro {mine}/dvc.yaml` runs everything once"
    assert (mine / "dvc.yaml").read_bytes() == (clone / "dvc.yaml").read_bytes()
    assert (mine / "README.md").read_text() == (
        "    crossfool show experiments/mine\n"
        "    CROSSFOOL_WORKERS=2 dvc repro experiments/mine/dvc.yaml\n"
        "    crossfool remove-leftovers mine && crossfool repair-locks mine\n"
    )
    assert (mine / ".crossfool/seconds").is_dir() and not scratch.exists()
    assert not (mine / "dvc.yaml.old").exists()  # it was the repository's own, which git has
    assert upgraded(mine) == f"{mine} is of this edition already\n"


def test_aliases_are_written_out_and_comments_stay(clone: Path) -> None:
    params = clone / "experiments/mine/params.yaml"
    before = loading.load_experiment(params)
    text = params.read_text(encoding="utf-8")
    attacks = "attacks: &shared {fgsm: &one {epsilon: 30, steps: 1, step_size: 30}, again: *one}  # two\n"
    start = text.index("attacks:")
    end = text.index("\n\n", start)
    params.write_text(text[:start] + attacks + text[end:], encoding="utf-8")
    with pytest.raises(UserError, match=r"the alias \*one shares one object"):
        loading.load_experiment(params)
    assert f"{params}: aliases written out" in upgraded(params.parent)
    after = loading.load_experiment(params)
    assert after.attacks["again"] == after.attacks["fgsm"] and after.models == before.models
    assert "# two" in params.read_text(encoding="utf-8") and "*one" not in params.read_text(encoding="utf-8")


def test_a_graph_with_changes_of_its_own_is_kept_beside(clone: Path) -> None:
    graph = clone / "experiments/mine/dvc.yaml"
    graph.write_text(OLD_GRAPH + "# mine\n")
    assert f"kept as {graph}.old" in upgraded(graph.parent)
    assert (graph.parent / "dvc.yaml.old").read_text() == OLD_GRAPH + "# mine\n"
    assert graph.read_bytes() == (clone / "dvc.yaml").read_bytes()


def test_the_roots_own_experiment_has_the_shared_graph_already(clone: Path) -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    (clone / "params.yaml").write_text(text, encoding="utf-8")
    assert upgraded(clone) == f"{clone} is of this edition already\n"


@pytest.mark.parametrize("fault", ["params", "root", "none"])
def test_nothing_is_changed_where_an_experiment_is_wrong(clone: Path, fault: str) -> None:
    mine = clone / "experiments/mine"
    text = (mine / "params.yaml").read_text(encoding="utf-8")
    if fault == "params":
        (mine / "params.yaml").write_text(text + "\nunknown: 1\n", encoding="utf-8")
    elif fault == "root":
        (mine / "params.yaml").write_text(text.replace("root: ../..", "root: .."), encoding="utf-8")
    else:
        (mine / "params.yaml").unlink()
    before = {path: path.read_bytes() for path in mine.iterdir()}
    said = upgraded(mine, code=2)
    wanted = {
        "params": "unknown key",
        "root": "is not a clone of crossfool",
        "none": "params.yaml is missing, expected",
    }
    assert said.startswith("error: ") and said.count("\n") == 1 and wanted[fault] in said
    assert {path: path.read_bytes() for path in mine.iterdir()} == before


def test_a_variable_of_the_first_edition_is_refused_by_every_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSFERBENCH_WORKERS", "2")
    done = CliRunner().invoke(main, ["list", "datasets"])
    assert done.exit_code == 2
    assert done.output == (
        "error: TRANSFERBENCH_WORKERS is set, and is called CROSSFOOL_WORKERS now; "
        "set CROSSFOOL_WORKERS and unset TRANSFERBENCH_WORKERS\n"
    )


def test_a_variable_of_another_program_is_none_of_ours() -> None:
    first_edition.refuse_variables(
        {"MY_TRANSFERBENCH_WORKERS": "2", "TRANSFERBENCHMARK": "1", "CROSSFOOL_WORKERS": "2"}
    )


def test_weights_of_the_first_edition_are_read(tmp_path: Path) -> None:
    about = {"name": "fnn2", "family": "mnist", "library": "transferbench", "mean": [33.3], "std": [78.6], "side": 28}
    about |= {"interpolation": "bilinear", "published_preprocessing": "", "published_top1": None}
    path = tmp_path / "fnn2.safetensors"
    write_tensors(path, {"a": np.zeros(1, np.float32)}, {"model": json.dumps(about)})
    assert read_description(TensorFile(path), "fnn2")["library"] == "crossfool"


def test_a_weights_record_of_the_first_edition_is_read(tmp_path: Path) -> None:
    path = tmp_path / "fnn2.json"
    write_json(path, {"source": "fnn2", "members": {"fnn2": {"sha256": "0", "library": "transferbench"}}})
    assert weights_record.read_weights_record(path)["members"]["fnn2"]["library"] == "crossfool"


def test_a_page_of_the_first_edition_may_be_written_over(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text('<p class="brand">transferbench</p>')
    project.refuse_other_file(page)
    page.write_text('<p class="brand">another</p>')
    with pytest.raises(UserError, match="is not a report of crossfool"):
        project.refuse_other_file(page)


@pytest.mark.parametrize(("former", "name"), [("tidy", "remove-leftovers"), ("mend", "repair-locks")])
def test_a_command_by_its_former_name_is_an_error_that_names_it(former: str, name: str) -> None:
    done = CliRunner().invoke(main, [former, "mine"])
    assert done.exit_code == 2 and done.output.endswith(f"Error: {former} is called {name} now\n")
