"""`crossfool check`: what will run, what is wrong, what is doubtful; and a run that is checked, explained, compared."""

import json
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from builders import ROOT
from command_line import told
from made_experiments import FGSM, FOOLED, facts, make
from PIL import Image
from repositories import Repository, finished, made_on_digits

from crossfool.cli import check, new
from crossfool.datasets.reading import image_files
from crossfool.experiment import costs, loading, preflight
from crossfool.experiment.dvc_status import Stage
from crossfool.experiment.results import comparison
from crossfool.pipeline.crafting import timings
from crossfool.pipeline.evaluation import predictions_file

LITE = ["efficientnet_lite0"]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    return made_on_digits(tmp_path, monkeypatch, train=12)


def test_check_says_what_will_run(repository: Repository) -> None:
    """12 images; 1 and 6 gradients each; sources of one and of two models."""
    text = told("check", str(repository.path))
    assert "2 models, 2 sources × 2 attacks" in text
    assert "train 2 of 2" in text and "attack 4 of 4" in text and "report" in text
    assert f"gradients {12 * (1 + 6) * (1 + 2)}, and " in text
    assert "an image and model: fgsm 1, sg_igsm 6\n" in text
    # 19 stages of 2.3 s, and next to nothing of operations
    assert "an estimated 44 seconds on two CPU cores (0.06 TFLOP/s, 2.3 s a stage), without training" in text
    assert "an estimated" in told("check", str(repository.path), "--rate", "10")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dataset": {"name": "mnist", "path": "nowhere"}}, "nowhere does not exist; give the folder or tar file"),
        (
            {"dataset": {"name": "mnist", "path": "$NOT_SET/x"}},
            "dataset: path: $NOT_SET/x: $NOT_SET is not set; set it (`export NOT_SET=...`), or write",
        ),
        ({"root": "elsewhere"}, "root: elsewhere leads to"),
        ({"weights": {"dir": "nowhere"}}, "nowhere is not a folder; give the folder that holds the published weights"),
        ({"sources": ["fnn1"]}, "sources: fnn1: unknown model 'fnn1'; did you mean"),
    ],
)
def test_check_finds_what_is_wrong(repository: Repository, change: Mapping[str, Any], message: str) -> None:
    repository.edit(lambda values: values.update(change))
    assert message in told("check", str(repository.path), code=2)


def test_how_many_images_is_said_where_it_is_known(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    def change(images: int | str, of: str, **dataset: str) -> Any:
        subset = {"images": images, "seed": 0, "of": of}
        return lambda values: values.update(dataset=dataset, subset=subset, training=None, models=LITE, sources=LITE)

    where = str(repository.path)
    repository.edit(change("all", "correct", name="imagenet-sample"))
    text = told("check", where)
    assert (
        "all models classify correctly is not known yet: 20 at most" in text
        and f"gradients {20 * (1 + 6) * 1}, and" in text
    )
    repository.edit(lambda values: values.update(models=[*LITE, "efficientnet_lite1", "efficientnet_lite2"]))
    text = told("check", where)
    assert (
        "all models classify correctly is not known yet: 16 at most" in text
        and f"gradients {16 * (1 + 6) * 1}, and" in text
    )
    repository.edit(change("all", "all", name="imagenet-sample"))
    text = told("check", where)
    assert "not known" not in text and f"gradients {20 * (1 + 6) * 1}, and" in text
    repository.edit(change(21, "all", name="imagenet-sample"))
    assert "subset: images: 21 are more than the 20 images of imagenet-sample; ask for fewer" in told(
        "check", where, code=2
    )
    repository.edit(lambda values: values["subset"].update(images=12, tuning=8))
    assert "attacked  12 images, whether models are right on them or not; 8 tuning images set apart\n" in told(
        "check", where
    )
    repository.edit(lambda values: values["subset"].update(use="tuning"))
    text = told("check", where)
    assert (
        "attacked  8 tuning images, not for publication; those" in text and f"gradients {8 * (1 + 6) * 1}, and" in text
    )
    repository.edit(lambda values: values["subset"].update(tuning=9))
    message = "subset: images: 12 and tuning: 9 are more than the 20 images of imagenet-sample; ask for fewer"
    assert message in told("check", where, code=2)
    photos = repository.path / "photos"
    for name in ("n01440764", "n01443537"):
        (photos / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(photos / name / "a.png")
    repository.edit(change("all", "correct", name="imagefolder", path="photos"))
    text = told("check", where)
    assert "photos: 2 images\n" in text and "all models classify correctly is not known yet: 2 at most" in text
    assert f"gradients {2 * (1 + 6) * 1}, and" in text
    repository.edit(change("all", "all", name="imagefolder", path="photos"))
    assert "not known" not in told("check", where)
    repository.edit(change(3, "all", name="imagefolder", path="photos"))
    assert "subset: images: 3 are more than the 2 images of imagefolder; ask for fewer" in told("check", where, code=2)
    with tarfile.open(repository.path / "photos.tar", "w") as archive:
        archive.add(photos, arcname=".")
    repository.edit(change("all", "correct", name="imagefolder", path="photos.tar"))
    assert "all models classify correctly is not known yet: 2 at most" in told("check", where)
    monkeypatch.setattr(image_files, "PEEK", 2)  # of a large tar, the start is looked at
    text = told("check", where)
    assert "photos.tar: as many as it holds\n" in text
    assert "how many images are attacked is not known until they are decoded" in text
    assert "MB and more to write, " in text
    assert "gradients unknown until then\n" in text and "time      unknown until then\n" in text


def test_check_finds_files_that_are_wrong(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    left = repository.path / "metrics/fnn0/old.json"
    left.parent.mkdir(parents=True)
    left.write_text("{}", encoding="utf-8")
    said = told("check", str(repository.path), code=2)
    assert "old.json was not made by crossfool" in said and "move it to a folder of your own" in said
    left.unlink()
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    assert "make room" in told("check", str(repository.path), code=2)
    folder = new.make_experiment("mine", repository.path)
    (folder / "dvc.yaml").write_text("stages: {}\n", encoding="utf-8")
    assert "dvc.yaml differs from the root's; copy the root's: cp " in told("check", str(folder), code=2)


def test_check_without_dvc(tmp_path: Path) -> None:
    make(tmp_path, {}, transforms={})
    (tmp_path / "stages").mkdir()
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    assert "everything (this is not a DVC repository)" in told("check", str(tmp_path))


def test_check_counts_the_images_that_all_models_classify_correctly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The models classify the 8 images with an odd id of 17 correctly; fnn4 then only those with id 1, 3 and 5."""
    make(tmp_path, {}, transforms={})
    (tmp_path / "stages").mkdir()
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    select = Stage("select", ("subset/images.safetensors", "subset/subset.csv"), True, False, False)
    monkeypatch.setattr(preflight, "stage_statuses", lambda folder, experiment: (select,))
    assert "attacked  8 of 17 images: all 3 models classify them correctly\n" in told("check", str(tmp_path))
    table = tmp_path / "predictions/clean/fnn4.parquet"
    labels, top = predictions_file.read_clean(table)
    predictions_file.write_clean(table, np.where(np.arange(17)[:, None] > 5, 9, top), labels)
    said = "3 of 17 images: all 3 models classify them correctly; without fnn4 it would be 8 (subset: {of: all} attacks"
    assert f"attacked  {said} all images)\n" in told("check", str(tmp_path))
    found = json.loads(told("check", str(tmp_path), "--json"))
    assert found["attacked"] == 3 and found["candidates"] == {
        "images": 17,
        "correct": 3,
        "models": ["fnn0", "fnn2", "fnn4"],
        "unknown": [],
        "without": {"fnn0": 3, "fnn2": 3, "fnn4": 8},
        "shrinking": [{"models": ["fnn4"], "correct": 8}],
    }
    make(tmp_path, {}, transforms={}, subset={"images": 9})
    assert "images: 9 asked, but all models classify only 8 correctly; ask" in told("check", str(tmp_path), code=2)
    make(tmp_path, {}, transforms={}, subset={"images": "all", "tuning": 2, "use": "tuning"})
    assert "attacked  2 tuning images, not for publication" in told("check", str(tmp_path))


def test_published_weights_have_to_be_there(repository: Repository) -> None:
    cifar = {"name": "imagefolder", "path": "photos", "classes": "cifar10"}
    (repository.path / "photos/cat").mkdir(parents=True)
    Image.new("RGB", (32, 32)).save(repository.path / "photos/cat/a.png")
    (repository.path / "w").mkdir()
    change = {"dataset": cifar, "models": ["resnet20"], "sources": ["resnet20"], "weights": {"dir": "w"}}
    repository.edit(lambda values: values.update(change, training=None, subset={"images": 1}))
    assert "w holds no resnet20-12fca82f.th" in told("check", str(repository.path), code=2)
    (repository.path / "w/resnet20-12fca82f.th").touch()
    told("check", str(repository.path))
    change = {
        "dataset": {"name": "imagenet-sample"},
        "models": ["timm_resnet18"],
        "sources": ["timm_resnet18"],
        "weights": {},
    }
    repository.edit(lambda values: values.update(change))
    assert "timm_resnet18: its weights have no pinned sha256" in told("check", str(repository.path), code=2)


@pytest.mark.slow
def test_a_run_is_checked_explained_and_compared(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By DVC itself: what check says will run is what runs, and revisions are compared from DVC's own cache."""
    repository = finished(tmp_path / "made", tmp_path_factory)
    monkeypatch.setenv("MADE_DIGITS", repository.environment["MADE_DIGITS"])
    repository.commit("first")
    folder = repository.path
    text = told("check", str(folder))
    assert "nothing: all is up to date" in text and "gradients 0 of 84 in all" in text
    assert facts("fnn0/sg_igsm", folder)["dvc.lock"] == "the same md5"
    repository.edit(lambda values: values["attacks"]["sg_igsm"].update(sigma=80))
    text = told("check", str(folder))
    assert "to run    plan, attack 1 of 2, evaluate 1 of 2, report\n" in text
    assert "why       attack 1 of 2, evaluate 1 of 2: params.yaml changed (attack.sigma: 15.0 -> 80.0)\n" in text
    assert f"gradients {12 * 6} of 84 in all" in text
    ran = repository.repro()
    assert {name.partition("@")[0] for name in ran} == {"plan", "attack", "evaluate", "report"}
    repository.commit("second")
    found = comparison.compare("HEAD", "HEAD~1", folder)
    assert {row.attack for row in found.shown} <= {"sg_igsm"} and found.about == ("sg_igsm: sigma 80 and 15",)
    before = json.loads(repository.run("git", "show", "HEAD~1:metrics/fnn0/sg_igsm.json"))
    after = repository.metrics("fnn0/sg_igsm.json")
    for row in found.rows:
        if (row.source, row.attack) == ("fnn0", "sg_igsm"):
            assert (row.first, row.second) == pytest.approx(
                (after[row.target]["top1"], before[row.target]["top1"]), abs=1e-3
            )
    for place in ("adversarial", "predictions", "subset", "data", "weights"):
        shutil.rmtree(folder / place)
    text = told("check", str(folder))
    assert "nothing: all is up to date" in text and "`dvc checkout` brings them" in text
    repository.dvc("checkout", "--quiet")
    # a target more attacks nothing, if the subset stays
    repository.edit(lambda values: values["models"].append("fnn4"))
    text = told("check", str(folder))
    assert "train 1 of 3, predict 1 of 3, select, source, evaluate 2 of 2, report\n" in text
    assert "gradients 0 of 84 in all" in text and "84, and " in text
    assert "if the subset changes: plan, train 1 of 3" in text and "attack 2 of 2" in text
    assert len({name for name in repository.repro() if name.startswith("attack@")}) in (0, 2)


def test_check_doubts_steps_that_do_not_fit_the_ball(tmp_path: Path) -> None:
    rows = {"far": {**FGSM, "step_size": 41}, "short": {**FGSM, "steps": 3, "step_size": 13}, "fgsm": FGSM}
    experiment = make(tmp_path, FOOLED, attacks=rows)
    assert list(check._doubts(experiment)) == [
        "far: a step of 41 is larger than epsilon, 40: every step is cut",
        "short: 3 steps of 13 reach 39, and never epsilon, 40",
    ]


def test_check_names_the_norm_of_attacks_in_l2(repository: Repository) -> None:
    assert "norm " not in told("check", str(repository.path))
    in_l2 = {"epsilon": 300, "steps": 2, "step_size": 150, "norm": "l2"}
    repository.edit(lambda values: values["attacks"].update(near=in_l2, wide={**in_l2, "epsilon": 400}))
    text = told("check", str(repository.path))
    assert "norm      L2: near, wide; their epsilon and step_size are lengths over the whole image\n" in text


def test_check_doubts_names_that_are_one_file_on_some_disks(tmp_path: Path) -> None:
    experiment = make(tmp_path, FOOLED, attacks={"fgsm": FGSM, "FGSM": FGSM, "other": FGSM})
    (line,) = check._doubts(experiment)
    assert line.startswith("attacks: fgsm and FGSM differ in case alone: ")


def test_check_knows_how_fast_it_was_here(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small)
    experiment = loading.load_experiment(small / "params.yaml")
    row = experiment.attacks["sg_fgsm"]
    about = row.model_dump_json(exclude_none=True)
    for source, seconds in (("fnn0", 4.0), ("fnn2+fnn0", 6.0)):  # 8 images of 5 gradients, by one model and by two
        timings.write_timing(
            small / timings.FOLDER, source, "sg_fgsm", timings.Timing(about, 8, seconds, "CPU, 1 thread")
        )
    whole = costs.cost(experiment)
    rate = preflight._rate(small, experiment)
    assert rate == pytest.approx((40 + 80) / 10)
    found = preflight.Preflight(experiment, None, whole, whole, whole, 1, None, "images", rate)
    seconds = (found.left.gradients + found.left.passes / 2) / 12
    assert check._time(found, None).startswith(
        f"an estimated {costs.duration_text(seconds)} at 12 gradients a second, as its cells took here"
    )
    assert "at 3 gradients a second" in check._time(found, 3.0)
