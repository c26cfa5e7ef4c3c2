"""The whole graph, by DVC, on a tiny made data set in a git repository of its own (`repositories.py`)."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from builders import ROOT
from made_datasets import made_digits
from repositories import Repository, made

from crossfool.storage.tensors import TensorFile

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Path:
    return made_digits(tmp_path_factory.mktemp("digits größe"), train=12, contrast=150)


@pytest.fixture(scope="module")
def repository(tmp_path_factory, digits) -> Repository:
    found = made(tmp_path_factory.mktemp("a repository"), digits, forked=True)
    found.first = found.repro()
    found.commit("first run")
    return found


def cells(stage: str, sources=("fnn0", "fnn0+fnn2"), attacks=("fgsm", "sg_igsm")) -> set[str]:
    return {f"{stage}@{source}-{attack}" for source in sources for attack in attacks}


ONE_ATTACK = {"plan", "report"} | {
    name for stage in ("attack", "evaluate") for name in cells(stage, attacks=("sg_igsm",))
}


def test_every_stage_runs_once(repository):
    expected = {
        "plan",
        "prepare",
        "lpips",
        "train@fnn0",
        "train@fnn2",
        "predict@fnn0",
        "predict@fnn2",
        "select",
        "report",
    }
    expected |= {"source@fnn0", "source@fnn0+fnn2"}
    for stage in ("attack", "evaluate"):
        expected |= cells(stage)
    assert repository.first == expected


def test_second_run_runs_nothing(repository):
    assert repository.repro() == set()
    assert repository.run("git", "status", "--porcelain") == ""


def test_results_are_what_the_contract_says(repository):
    images = TensorFile(repository.path / "subset/images.safetensors")
    assert images["images"].shape == (12, 1, 28, 28)
    cell = TensorFile(repository.path / "adversarial/fnn0+fnn2/sg_igsm.safetensors")
    assert np.abs(cell["images"].astype(int) - images["images"]).max() == 100
    metrics = repository.metrics("fnn0/fgsm.json")
    assert metrics["fnn0"]["whitebox"] is True and metrics["fnn2"]["whitebox"] is False
    assert metrics["fnn2"]["n"] == 12
    assert metrics["fnn0"]["top1"] > 50  # a square of this contrast does not survive
    destroyed = repository.metrics("fnn0/fgsm.transform.json")
    assert set(destroyed["fnn0"]["jpeg"]) == {"30"}
    assert repository.metrics("clean/fnn0.json")["top1"] == 100
    assert "fnn0/fgsm.json" in repository.dvc("metrics", "show")


@pytest.mark.exhaustive  # test_reruns.py has it of one source
def test_attack_number_reruns_its_cells_alone(repository):
    repository.edit(lambda values: values["attacks"]["sg_igsm"].update(sigma=25))
    assert "attacks.sg_igsm.sigma" in repository.dvc("params", "diff")
    assert repository.repro() == ONE_ATTACK
    repository.run("git", "checkout", "--quiet", ".")
    assert repository.repro() == set()  # the old values come from the run cache


@pytest.mark.exhaustive  # test_reruns.py queues one
def test_experiment_by_command_line_reruns_its_cells_alone(repository):
    printed = repository.dvc("exp", "run", "--set-param", "attacks.sg_igsm.sigma=40", "--name", "rough")
    ran = set(re.findall(r"^Running stage '([^']+)'", printed, re.MULTILINE))
    assert ran == ONE_ATTACK
    assert "sg_igsm.json" in repository.dvc("metrics", "diff", "--all")
    assert "rough" in repository.dvc("exp", "show", "--csv", "--all-commits")
    repository.run("git", "checkout", "--quiet", ".")
    repository.dvc("checkout", "--quiet")


@pytest.mark.exhaustive  # test_reruns.py has it of one source
def test_new_target_is_one_edit_and_attacks_nothing(repository):
    repository.edit(lambda values: values["models"].append("fnn4"))
    ran = repository.repro()
    assert "train@fnn4" in ran and "predict@fnn4" in ran
    assert not [name for name in ran if name.startswith("attack@")]
    assert cells("evaluate") <= ran
    assert set(repository.metrics("fnn0/fgsm.json")) == {"fnn0", "fnn2", "fnn4"}
    repository.run("git", "checkout", "--quiet", ".")
    # what the removed model left behind is refused by name, not silently read
    refused = repository.dvc("repro", code=255)
    assert "fnn4" in refused and "`crossfool remove-leftovers`" in refused and "Traceback" not in refused
    assert "deleted weights/fnn4.safetensors" in repository.run(
        sys.executable, "-m", "crossfool", "remove-leftovers", "--yes"
    )
    assert repository.repro() == set()


@pytest.mark.exhaustive  # a training and a source like any other
def test_a_network_of_another_seed_is_one_edit(repository):
    """It is trained with the seed in its name, a source and a target like any other; no other one is trained again."""
    before = repository.metrics("fnn0/fgsm.json")

    def edit(values):
        values["models"].append("fnn2_seed1")
        values["sources"].append("fnn2_seed1")

    repository.edit(edit)
    ran = repository.repro()
    started = {name for name in ran if name.startswith(("train@", "predict@", "attack@"))}
    assert started == {"train@fnn2_seed1", "predict@fnn2_seed1"} | cells("attack", sources=("fnn2_seed1",))
    one, other = (TensorFile(repository.path / f"weights/{name}.safetensors") for name in ("fnn2", "fnn2_seed1"))
    assert one.names() == other.names()
    assert [file.metadata_object("model")["recipe"]["seed"] for file in (one, other)] == [0, 1]
    assert not np.array_equal(one["output.weight"], other["output.weight"])
    onto = repository.metrics("fnn2_seed1/fgsm.json")
    assert (onto["fnn2_seed1"]["whitebox"], onto["fnn2"]["whitebox"]) == (True, False)
    assert {name: repository.metrics("fnn0/fgsm.json")[name] for name in before} == before
    told = repository.run(sys.executable, "-m", "crossfool", "explain", "fnn2_seed1/fgsm")
    assert "trained here, 6 epochs, seed 1" in " ".join(told.split())
    assert "fnn2_seed1" in repository.run(sys.executable, "-m", "crossfool", "show")
    assert "spread over networks" in (repository.path / "report/tables.md").read_text(encoding="utf-8").lower()
    repository.run("git", "checkout", "--quiet", ".")
    repository.run(sys.executable, "-m", "crossfool", "remove-leftovers", "--yes")
    assert repository.repro() == set()


@pytest.mark.exhaustive  # test_reruns.py edits one
def test_new_attack_is_one_edit(repository):
    row = {"epsilon": 100, "steps": 1, "step_size": 100, "update": "momentum", "decay": 1.0}
    repository.edit(lambda values: values["attacks"].update(migsm=row))
    ran = repository.repro()
    expected = {"plan", "report"}
    for stage in ("attack", "evaluate"):
        expected |= cells(stage, attacks=("migsm",))
    assert ran == expected
    repository.run("git", "checkout", "--quiet", ".")
    refused = repository.dvc("repro", code=255)
    assert "migsm" in refused and "`crossfool remove-leftovers`" in refused
    assert repository.run(sys.executable, "-m", "crossfool", "remove-leftovers", "--yes").count("deleted ") == 12
    assert repository.repro() == set()


@pytest.mark.exhaustive  # test_stand_ins.py runs a grid
def test_a_grid_is_a_cell_each_and_a_new_value_runs_its_cells_alone(repository):
    grid = {"attack": {}, "epsilon": [50], "steps": [1], "step_size": ["epsilon"], "samples": [0, 2], "sigma": [15]}
    grid["figure"] = {"x": "epsilon", "lines": "samples"}
    repository.edit(lambda values: values["grids"].update(a=grid))
    started = {"plan", "report"}

    def points(epsilon):
        return {
            f"{stage}_a@{source}-{epsilon}-1-epsilon-{samples}-15"
            for stage in ("attack", "evaluate")
            for source in ("fnn0", "fnn0+fnn2")
            for samples in (0, 2)
        }

    assert repository.repro() == started | points(50)
    repository.commit("a grid")
    printed = repository.dvc("exp", "run", "--set-param", "grids.a.epsilon=[50,100]")
    assert set(re.findall(r"^Running stage '([^']+)'", printed, re.MULTILINE)) == started | points(100)
    # m = 0 is the plain attack: the very images of the attack that is called fgsm
    images = [f"adversarial/fnn0/{name}.safetensors" for name in ("fgsm", "a_e100_T1_aepsilon_m0_s15")]
    fgsm, cell = (np.asarray(TensorFile(repository.path / path)["images"]) for path in images)
    assert np.array_equal(fgsm, cell)
    assert repository.metrics("fnn0/fgsm.json") == repository.metrics("fnn0/a_e100_T1_aepsilon_m0_s15.json")
    with open(repository.path / "report/tables/grid_a.csv") as file:
        assert len(file.readlines()) == 1 + 2 * 2  # fnn0 onto fnn2, the one black-box pair
    repository.run("git", "checkout", "--quiet", ".")
    assert "a_e100_T1_aepsilon_m0_s15" in repository.dvc("repro", code=255)  # left over, and named
    repository.run(sys.executable, "-m", "crossfool", "remove-leftovers", "--yes")
    assert repository.repro() == set()
    repository.run("git", "revert", "--no-edit", "HEAD")
    repository.run(sys.executable, "-m", "crossfool", "remove-leftovers", "--yes")
    assert repository.repro() == set()


@pytest.mark.exhaustive  # test_sharing.py has it of one source
def test_colleague_pulls_and_nothing_runs(repository, tmp_path, digits):
    remote = tmp_path / "remote"
    repository.dvc("remote", "add", "--local", "--default", "folder", str(remote))
    repository.dvc("push", "--quiet")
    clone = tmp_path / "clone"
    repository.run("git", "clone", "--quiet", str(repository.path), str(clone))
    colleague = Repository(clone, digits / "not here", forked=True)
    colleague.dvc("remote", "add", "--local", "--default", "folder", str(remote))
    colleague.dvc("pull", "--quiet")
    assert colleague.repro() == set()
    cell = "adversarial/fnn0/fgsm.safetensors"
    assert (clone / cell).read_bytes() == (repository.path / cell).read_bytes()
    assert colleague.run("git", "status", "--porcelain") == ""


def test_mistake_stops_before_anything_is_written(repository):
    repository.edit(lambda values: values["attacks"]["fgsm"].update(epsilonn=3))
    printed = repository.dvc("repro", code=255)
    assert "error: params.yaml: unknown key of attacks.fgsm 'epsilonn'; did you mean epsilon?" in printed
    assert "Traceback" not in printed
    repository.run("git", "checkout", "--quiet", ".")
    assert repository.repro() == set()


def test_experiments_share_one_graph():
    graph = (ROOT / "dvc.yaml").read_bytes()
    copies = list(ROOT.glob("experiments/*/dvc.yaml"))
    assert copies
    for copy in copies:
        assert copy.read_bytes() == graph and not copy.is_symlink()
