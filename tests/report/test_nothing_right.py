"""Reports where there is little or nothing to count: no image that all models get right, one image, nothing fooled."""

import csv
import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from made_experiments import DETAIL, FGSM, SG, TARGETED, complete, make, write_report
from parsed_page import Parsed

from crossfool.cli.main import main
from crossfool.datasets.preparation.config import Subset
from crossfool.errors import UserError
from crossfool.experiment import descriptions, loading
from crossfool.experiment.config import Experiment
from crossfool.experiment.results import metrics
from crossfool.pipeline import subset
from crossfool.pipeline.evaluation import success
from crossfool.pipeline.evaluation.predictions_file import read_cell, read_transformed
from crossfool.report import report_folder
from crossfool.report.html import page as html_page
from crossfool.stats import rates as stats_rates
from crossfool.storage.json_files import read_json, write_json
from crossfool.storage.tensors import TensorFile, write_tensors

MODELS = ("fnn0", "fnn2", "fnn4")
NONE = np.zeros((8, 3), np.uint8)
FIRST_ALONE = NONE.copy()
FIRST_ALONE[0] = 1  # one image that all get right
NEVER_THE_LAST = np.ones((8, 3), np.uint8)
NEVER_THE_LAST[:, 2] = 0  # a target that gets nothing right
ALL = np.ones((8, 3), np.uint8)
GRID = {
    "attack": {},
    "epsilon": [20, 40],
    "steps": [1],
    "step_size": ["epsilon"],
    "samples": [0],
    "sigma": [0],
    "figure": {"x": "epsilon", "lines": None, "average": True},
}
SAID = "No image is right under all 3 models"


def everything(folder: Path, right: np.ndarray, fooled: dict[Any, int] | None = None, **of: Any) -> Experiment:
    """An experiment that attacks all images, of which models are right on some, (N,M); with a grid and a scatter."""
    experiment = make(folder, fooled or {}, labels=np.arange(len(right)), **of)
    values = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    values["subset"] = {"images": "all", "of": "all"}
    values["scatter"] = {"attacks": list(values["attacks"])[:1], "same_family": True}
    values["grids"] = {"a": GRID, "b": values["grids"]["b"]}
    (folder / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    named, experiment = next(iter(experiment.attacks)), loading.load_experiment(folder / "params.yaml")
    for source in experiment.sources:
        for cell in experiment.rows.keys() - experiment.attacks.keys():
            shutil.copy(
                folder / f"predictions/{source}/{named}.parquet", folder / f"predictions/{source}/{cell}.parquet"
            )
            shutil.copy(folder / f"metrics/{source}/{named}.json", folder / f"metrics/{source}/{cell}.json")
            write_json(folder / f"metrics/{source}/{cell}.detail.json", DETAIL)
    path, models = folder / "subset/images.safetensors", experiment.models
    tensors = {name: np.array(TensorFile(path)[name]) for name in TensorFile(path).names()}
    write_tensors(path, tensors | {"right": right}, {"models": ",".join(models)})
    clean, by_model = TensorFile(path), dict(zip(models, right.T.astype(bool), strict=True))
    common = right.all(1)
    for source in experiment.sources:
        for attack, row in experiment.attacks.items():
            top, labels, _ = read_cell(folder / f"predictions/{source}/{attack}.parquet")
            targets = np.array(clean["target_labels"]) if row.targeted else None
            ways = {
                model: {
                    way: success.counted_rates(top[model], labels, targets, counted)
                    for way, counted in (("all", None), ("target_right", by_model[model]), ("all_right", common))
                }
                for model in models
            }
            for model, rates in ways.items():
                rates["clean_error"] = 100 * float(1 - by_model[model].mean())
            write_json(folder / f"metrics/{source}/{attack}.detail.json", {**DETAIL, "denominators": ways})
            after = read_transformed(folder / f"transformed/{source}/{attack}.parquet", len(labels))
            undone = success.destruction_rates(top, after, labels, by_model)
            write_json(folder / f"metrics/{source}/{attack}.transform.json", undone)
    for model, ours in by_model.items():  # a data set of these images alone
        path = folder / f"metrics/clean/{model}.json"
        rate = stats_rates.wilson_rate(int(ours.sum()), len(ours))
        own = {"top1": rate.percent, "top1_low": rate.low, "top1_high": rate.high, "top5": rate.percent, "n": rate.n}
        write_json(path, read_json(path) | own)
    complete(folder)
    return experiment


def written(folder: Path, experiment: Experiment) -> tuple[str, Parsed]:
    """tables.md and the page, once all of the report is written; no JSON has a NaN, no CSV a word for nothing."""
    write_report(folder, experiment, folder / "report")
    html_page.write_page([folder], folder / "report/index.html")
    for path in (folder / "agreement.json", *folder.glob("metrics/**/*.json")):
        json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    written_tables = list(folder.glob("report/tables/*.csv"))
    assert len(written_tables) >= 20
    for path in written_tables:
        assert not {"nan", "inf", "None"} & {value for row in rows(path) for value in row.values()}, path
    page = (folder / "report/index.html").read_text(encoding="utf-8")
    assert "nan" not in page.split("<script")[0].replace("dominant", "")[:20_000]
    return (folder / "report/tables.md").read_text(encoding="utf-8"), Parsed(page)


@pytest.fixture
def unsaved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are drawn, and not saved, which is what takes long."""
    monkeypatch.setattr(report_folder, "save", lambda figure, path: path.touch())


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def told(*arguments: str) -> str:
    done = CliRunner().invoke(main, list(arguments), terminal_width=200)
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("right", [NONE, NEVER_THE_LAST, NONE[:1]], ids=["none", "a target never", "one image, wrong"])
def test_no_image_right_under_all_models_is_named(unsaved: None, tmp_path: Path, right: np.ndarray) -> None:
    """The rates of all attacked images stand; ranks, tests and claims are said to be missing, and why."""
    experiment = everything(tmp_path, right)
    tables, page = written(tmp_path, experiment)
    n = len(right)
    assert tables.count(SAID) == 2 and "### Attacks by" not in tables and "### What the paper claims" not in tables
    assert f"{min(2, n) / n * 100:.1f}" in tables
    headings = (tmp_path / "report/index.html").read_text(encoding="utf-8")
    assert headings.count(SAID) == 2 and "Attacks compared" in headings and "The paper&#39;s claims" in headings
    assert page.table("fgsm: top-1")[1][0] == "fnn0"
    for name in ("ranking", "pairwise", "mcnemar", "claims", "destruction_pooled", "grid_a"):
        assert rows(tmp_path / f"report/tables/{name}.csv") == [], name
    assert {row["n"] for row in rows(tmp_path / "report/tables/results.csv")} == {f"{n}"}
    denominators = [row for row in rows(tmp_path / "report/tables/denominators.csv") if row["counted"] == "all_right"]
    assert {(row["rate"], row["low"], row["high"], row["n"]) for row in denominators} == {("", "", "", "0")}
    agreement = read_json(tmp_path / "agreement.json")
    assert agreement["claims"] == {} and agreement["untested"].startswith(SAID)
    assert {path.stem for path in tmp_path.glob("report/figures/*.png")} >= {"heatmap_fgsm", "panel", "scatter"}


def test_no_image_right_is_said_by_every_command(tmp_path: Path) -> None:
    everything(tmp_path, NONE)
    assert SAID in told("show", str(tmp_path))
    shown = told("explain", "fnn0/fgsm", "--folder", str(tmp_path))
    assert "8 of mnist: every one, whether models are right on it or not; no image is right under all models" in shown
    compared = told("compare", "fgsm", "sg_fgsm", "--folder", str(tmp_path))
    assert "counted are all attacked images, whether models are right on the clean ones or not" in compared
    html_page.write_page([tmp_path, tmp_path], tmp_path / "all.html", ["one", "two"], timed=True)
    assert (tmp_path / "all.html").read_text(encoding="utf-8").count(SAID) == 4


TWO = {"models": ("fnn0", "fnn2"), "sources": ("fnn0",)}
EVERY = {(source, attack, target): 8 for source in ("fnn0", "fnn2+fnn0") for attack in ("fgsm", "sg_fgsm", "far")
         for target in MODELS}  # fmt: skip


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize(
    ("right", "fooled", "of"),
    [
        (FIRST_ALONE, {}, {}),
        pytest.param(ALL[:1], {}, {}, marks=pytest.mark.exhaustive),
        (ALL, dict.fromkeys(EVERY, 0), {}),
        (ALL, EVERY, {}),
        pytest.param(NONE, dict.fromkeys(EVERY, 0), {}, marks=pytest.mark.exhaustive),
        (ALL[:, :1], {}, {"models": ("fnn0",), "sources": ("fnn0",), "attacks": {"fgsm": FGSM}}),
        (NONE[:, :1], {}, {"models": ("fnn0",), "sources": ("fnn0",), "attacks": {"fgsm": FGSM}}),
        (NONE[:, :2], {}, {**TWO, "attacks": {"far": TARGETED}}),
        pytest.param(ALL[:1, :2], {}, {**TWO, "attacks": {"far": TARGETED, "a": SG}}, marks=pytest.mark.exhaustive),
        (NONE, {}, {"transforms": {}}),
    ],
    ids=[
        "one image right",
        "one image",
        "nothing fooled",
        "everything fooled",
        "nothing fooled, none right",
        "one model",
        "one model, never right",
        "one targeted attack, none right",
        "one image, two models",
        "none right, no transforms",
    ],
)
def test_little_to_count_is_a_whole_report(
    unsaved: None, tmp_path: Path, right: np.ndarray, fooled: dict[Any, int], of: dict[str, Any]
) -> None:
    experiment = everything(tmp_path, right, fooled, **of)
    tables, _ = written(tmp_path, experiment)
    common = int(right.all(1).sum())
    assert ("No image is right under" in tables) == (not common)
    assert ("untested" in read_json(tmp_path / "agreement.json")) == (not common)
    assert descriptions.count_compared_images(metrics.load_metrics(tmp_path, experiment)) == common
    assert ("No image is right under" in told("show", str(tmp_path))) == (not common)
    rivals = [name for name, row in experiment.attacks.items() if not row.targeted]
    if len(rivals) > 1:
        assert f"paired on the same {len(right)} image" in told("compare", *rivals, "--folder", str(tmp_path))
    for row in rows(tmp_path / "report/tables/destruction.csv"):
        assert (row["rate"] == "") == (row["n"] == "0")
    assert all(math.isfinite(float(row["top1"])) for row in rows(tmp_path / "report/tables/results.csv"))


def test_select_warns_where_no_image_is_right_under_all_models() -> None:
    some = np.array([[True, False], [False, True], [False, False]])
    said = subset.warning_none_right(some)
    assert said.startswith("no image is right under all models (3 drawn, 2 of them right under one at least)")
    assert subset.warning_none_right(np.array([[True, True], [False, False]])) == ""
    assert subset.warning_none_right(np.array([[True]])) == ""


@pytest.mark.parametrize("images", ["all", 1, 12])
def test_none_to_draw_from_is_one_error_however_many_are_asked(images: int | str) -> None:
    with pytest.raises(UserError, match=r"no image is classified correctly by all models; .*set subset: \{of: all\}"):
        subset.draw_ids(np.arange(0), Subset(images=images))
