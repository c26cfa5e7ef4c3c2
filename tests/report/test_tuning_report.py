"""Reports on tuning images: everything says so, nothing counts as a result, and nothing mixes them with scored ones."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from builders import ROOT
from command_line import git, told
from made_experiments import FOOLED, complete, facts, lock, make, write_report

from crossfool.cli import stand_ins
from crossfool.errors import UserError
from crossfool.experiment import loading, project
from crossfool.experiment.config import Experiment
from crossfool.experiment.descriptions import TUNING_NOTICE, attacked_images_summary
from crossfool.experiment.results import comparison
from crossfool.experiment.results.metrics import load_metrics
from crossfool.report.findings import read_findings
from crossfool.report.html import page
from crossfool.report.reported.published_rates import reported_rates
from crossfool.storage.json_files import read_json
from crossfool.storage.tensors import TensorFile, write_tensors

IGSM = {"epsilon": 15, "steps": 5, "step_size": 5}
SG_IGSM = {**IGSM, "gradient": "smoothed", "samples": 20, "sigma": 15}


def tuned(folder: Path, fooled: Any = FOOLED, **of: Any) -> Experiment:
    """A made experiment of eight images, whose images are tuning images."""
    make(folder, fooled, **of)
    use(folder, "tuning")
    return loading.load_experiment(folder / "params.yaml")


def use(folder: Path, which: str | None) -> None:
    """Have params.yaml use the scored or the tuning images; and the subset say so, as `select` writes it."""
    values = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    values["subset"] = {"images": "all", "tuning": 8} | ({"use": which} if which else {})
    (folder / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    mark(folder / "subset/images.safetensors", tuning=which == "tuning")


def mark(path: Path, *, tuning: bool) -> None:
    """Write the subset's file again, with the mark of tuning images or without."""
    file = TensorFile(path)
    tensors = {name: np.array(file[name]) for name in file.names()}
    about = {key: value for key, value in file.metadata.items() if "sha256" not in key and key != "use"}
    write_tensors(path, tensors, about | ({"use": "tuning"} if tuning else {}))


def test_every_table_and_page_says_that_it_is_of_tuning_images(tmp_path: Path) -> None:
    experiment = tuned(tmp_path)
    complete(tmp_path)
    write_report(tmp_path, experiment, tmp_path / "report")
    page.write_page([tmp_path], tmp_path / "report/index.html")
    notice = f"{TUNING_NOTICE[:1].upper()}{TUNING_NOTICE[1:]}."
    tables = sorted((tmp_path / "report/tables").glob("*.csv"))
    for path in tables:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
        assert all(row["use"] == "tuning" for row in rows), path
        assert "use" in path.read_text(encoding="utf-8").splitlines()[0].split(",")
    latex = sorted((tmp_path / "report/tables").glob("*.tex"))
    assert len(tables) > len(latex) > 5
    for path in latex:
        assert notice in path.read_text(encoding="utf-8"), path
    text = (tmp_path / "report/tables.md").read_text(encoding="utf-8")
    assert "8 tuning images of mnist (not for publication), drawn at random (seed 0) from those" in text
    assert text.count("\n### ") == text.count(notice) > 3
    html = (tmp_path / "report/index.html").read_text(encoding="utf-8")
    assert f"Transferability on mnist ({TUNING_NOTICE})" in html and "8 tuning images of mnist" in html
    told_ = told("show", str(tmp_path))
    assert "8 tuning images of mnist (not for publication)" in told_ and notice in told_


def test_a_report_on_scored_images_is_what_it_was(tmp_path: Path) -> None:
    """The ranking on tuning images is that of scored ones, with the mark behind it; only these have no mark."""
    experiment = make(tmp_path, FOOLED)
    write_report(tmp_path, experiment, tmp_path / "a")
    use(tmp_path, "tuning")
    write_report(tmp_path, loading.load_experiment(tmp_path / "params.yaml"), tmp_path / "b")
    text = (tmp_path / "a/tables.md").read_text(encoding="utf-8")
    assert "tuning" not in text
    before, after = ((tmp_path / name / "tables/ranking.csv").read_text(encoding="utf-8") for name in "ab")
    assert [f"{line},{'tuning' if number else 'use'}" for number, line in enumerate(before.splitlines())] == (
        after.splitlines()
    )


def test_neither_claims_nor_agreement_are_computed(tmp_path: Path) -> None:
    """On scored images the same rates have claims and figures of the paper beside them."""
    models = ("resnet18", "densenet121", "vgg13_bn")
    of = {
        "models": models,
        "sources": models[:2],
        "attacks": {"igsm": IGSM, "sg_igsm": SG_IGSM},
        "transforms": {},
        "dataset": {"name": "imagenet", "path": "photos"},
        "images": np.full((8, 3, 224, 224), 100, np.uint8),
    }
    experiment = make(tmp_path / "scored", {}, **of)
    findings = read_findings(tmp_path / "scored")
    assert findings.claims and findings.agreement
    assert reported_rates(experiment, "resnet18", "densenet121", experiment.attacks["igsm"])
    experiment = tuned(tmp_path / "tuning", {}, **of)
    findings = read_findings(tmp_path / "tuning")
    assert findings.claims == [] and findings.agreement == []
    assert not any(row.get("paper") for tables in findings.tables.values() for table in tables for row in table.rows)
    write_report(tmp_path / "tuning", experiment, tmp_path / "tuning/report")
    found = read_json(tmp_path / "tuning/agreement.json")
    assert found["claims"] == {} and found["untested"] == TUNING_NOTICE and found["paper"]["cells"] == 0


def test_a_page_of_both_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    make(project / "experiments/scored", FOOLED)
    tuned(project / "experiments/tuning")
    message = "error: experiments/tuning attacks tuning images: not for publication; experiments/scored attacks those "
    for order in (("tuning", "scored"), ("scored", "tuning")):
        assert message in told("report", *order, code=2)
    assert not (project / "report.html").exists()
    told("report", "tuning")
    assert "tuning images" in (project / "report.html").read_text(encoding="utf-8")
    assert "left out: " in (text := told("report")) and f"tuning: {TUNING_NOTICE}" in text
    assert "tuning images" not in (project / "report.html").read_text(encoding="utf-8")


def test_a_list_of_results_leaves_tuning_images_out(project: Path) -> None:
    """Tuning runs are left out of the folders that reports and the leaderboard are made of."""
    make(project / "experiments/scored", FOOLED)
    tuned(project / "experiments/tuning")
    folders, left_out = projects(project)
    assert [folder.name for folder in folders] == ["scored"]
    assert left_out == [f"{project / 'experiments/tuning'}: {TUNING_NOTICE}"]


def projects(root: Path) -> tuple[list[Path], list[str]]:
    return project.folders_with_results(project.experiment_folders(root).values())


def test_comparisons_are_of_one_kind(small: Path) -> None:
    """Two attacks on tuning images may be compared, and the comparison says so; two revisions of both kinds may not."""
    use(small, "tuning")
    assert TUNING_NOTICE in comparison.compare("fgsm", "sg_fgsm", small).about
    message = "attacks tuning images and HEAD scored images; compare two of the same kind"
    assert f"workspace {message}" in told("compare", "workspace", "HEAD", "--folder", str(small), code=2)
    assert f"workspace {message}" in told("compare", "HEAD", "workspace", "--folder", str(small), code=2)
    lock(small.parents[1], small)
    git(small, "add", "--all")
    git(small, "commit", "--quiet", "--message", "tuning")
    assert "HEAD attacks tuning images and HEAD~1 scored images" in told(
        "compare", "HEAD", "HEAD~1", "--folder", str(small), code=2
    )
    assert comparison.compare("workspace", "HEAD", small).about == (TUNING_NOTICE,)


def test_metrics_of_the_other_images_are_refused(tmp_path: Path) -> None:
    """params.yaml is changed, and nothing has run since; what a clone has, without the subset, is believed."""
    tuned(tmp_path)
    values = yaml.safe_load((tmp_path / "params.yaml").read_text(encoding="utf-8"))
    values["subset"].pop("use")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    experiment = loading.load_experiment(tmp_path / "params.yaml")
    with pytest.raises(UserError, match=r"holds tuning images, and params.yaml uses scored ones; run `dvc repro`"):
        load_metrics(tmp_path, experiment)
    mark(tmp_path / "subset/images.safetensors", tuning=False)
    assert load_metrics(tmp_path, experiment).n == 8
    values["subset"]["use"] = "tuning"
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    experiment = loading.load_experiment(tmp_path / "params.yaml")
    with pytest.raises(UserError, match=r"holds scored images, and params.yaml uses tuning ones; run `dvc repro`"):
        load_metrics(tmp_path, experiment)
    (tmp_path / "subset/images.safetensors").unlink()
    assert load_metrics(tmp_path, experiment).n == 8


def test_a_summary_of_scored_images_says_what_is_set_apart(tmp_path: Path) -> None:
    make(tmp_path, FOOLED)
    use(tmp_path, None)
    results = load_metrics(tmp_path, loading.load_experiment(tmp_path / "params.yaml"))
    assert attacked_images_summary(results) == (
        "8 images of mnist: every one that all 3 models classify correctly, but for 8 tuning images"
    )


def test_an_explained_cell_is_of_tuning_images(small: Path) -> None:
    use(small, "tuning")
    assert facts("fnn0/fgsm", small)["images"] == (
        f"{TUNING_NOTICE}: 8 of mnist, drawn with seed 0 from those that all models classify correctly"
    )


def test_experiments_in_small_have_tuning_images_too() -> None:
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values["subset"] |= {"images": 500, "tuning": 100, "use": "tuning"}
    small = stand_ins.shrink_params(values, stand_ins.PHOTOGRAPHS)["subset"]
    assert small == {"images": 4, "tuning": 4, "use": "tuning", "seed": 0, "targets": "random"}
