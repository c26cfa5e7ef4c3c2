"""The NIPS 2017 set: both forms of its table, labels counted from 1 and from 0, its target labels, and bad inputs."""

import os
from pathlib import Path

import numpy as np
import pytest
import yaml
from builders import ROOT, write_plans
from forked_python import run_python
from made_datasets import Prepared, packed, refused, save, write_rows
from repositories import PARAMS

from crossfool.datasets import nips2017
from crossfool.datasets.preparation.catalogue import make_dataset
from crossfool.datasets.preparation.dataset import Survey
from crossfool.datasets.reading import image_files
from crossfool.errors import UserError
from crossfool.experiment import costs, loading
from crossfool.pipeline.evaluation import predictions_file
from crossfool.storage.clean_images import read_clean_images
from crossfool.storage.tensors import TensorFile

# As in the competition's table, whose first row is 306 and 779 where TransferAttack's is 305 and 778
ROWS = {"0c7ac4a8c9dfa802": (306, 779), "f43fbfe8a9ea876c": (1000, 1), "4fc263d35a3ad3ee": (1, 1000)}
SORTED = ["0c7ac4a8c9dfa802.png", "4fc263d35a3ad3ee.png", "f43fbfe8a9ea876c.png"]
COLUMNS = "ImageId,URL,x1,TrueLabel,TargetClass,Author"


def kaggle_table(folder: Path, rows: dict[str, tuple[int, int]] = ROWS) -> None:
    """images.csv, with columns that are ignored."""
    lines = ([name, "https://x/a,b.jpg", 0.5, *labels, 'A "B" \\303'] for name, labels in rows.items())
    write_rows(folder / "images.csv", COLUMNS, lines)


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three images in the folder images/, a grey each; no table beside them yet."""
    monkeypatch.setattr(nips2017.Part, "IMAGES", 3)
    for number, name in enumerate(ROWS):
        save(tmp_path / "nips/images" / f"{name}.png", 50 + number, 299)
    return tmp_path / "nips"


@pytest.mark.parametrize("kind", [None, "w", "w:gz"])
@pytest.mark.parametrize("form", ["images.csv", "labels.csv"])
def test_both_tables_are_one_data_set(images: Path, tmp_path: Path, form: str, kind: str | None) -> None:
    if form == "images.csv":
        kaggle_table(images)
    else:
        lines = ((f"{name}.png", label - 1, target - 1) for name, (label, target) in ROWS.items())
        write_rows(images / "labels.csv", "filename,label,targeted_label", lines)
    path = images if kind is None else packed(images, kind, wrapped=kind == "w:gz")
    done = Prepared(tmp_path / "out", name="nips2017", path=str(path), training=True)
    assert done.images.shape == (3, 3, 299, 299) and done.images[:, 1, 298, 0].tolist() == [50, 52, 51]
    assert done.labels.tolist() == [305, 0, 999] and done.target_labels.tolist() == [778, 999, 0]
    assert [Path(name).name for name in done.files] == SORTED and done.train_images.shape[0] == 0
    assert done.metadata["family"] == "imagenet" and done.metadata["classes"] == "1000"
    assert read_clean_images(tmp_path / "out/images.safetensors").names() == ["images", "labels", "target_labels"]
    assert make_dataset("nips2017", path=str(path)).survey(training=False) == Survey(3)


def test_both_tables_give_the_same_bytes(images: Path, tmp_path: Path) -> None:
    kaggle_table(images)
    first = Prepared(tmp_path / "a", name="nips2017", path=str(images))
    beside = Prepared(tmp_path / "b", name="nips2017", path=str(images / "images"))  # its table lies around it
    np.testing.assert_array_equal(beside.images, first.images)
    (images / "images.csv").unlink()
    lines = [(f"{name}.png", label - 1, target - 1) for name, (label, target) in ROWS.items()]
    write_rows(images / "labels.csv", "filename,label,targeted_label", reversed(lines))
    assert Prepared(tmp_path / "c", name="nips2017", path=str(images)).bytes() == first.bytes()


def run_stage(stage: str, folder: Path) -> None:
    code, printed = run_python(["-P", str(ROOT / "stages" / f"{stage}.py")], folder, os.environ)
    assert code == 0, printed


@pytest.mark.parametrize(("targets", "expected"), [("given", [778, 0]), ("next", [306, 0])])
def test_the_given_targets_are_what_is_attacked(
    images: Path, tmp_path: Path, targets: str, expected: list[int]
) -> None:
    """By the stages `prepare` and `select`, on a part of the set, whose rows are read by `csv`."""
    kaggle_table(images)
    columns = {"file_column": "ImageId", "label_column": "TrueLabel", "target_column": "TargetClass"}
    dataset = {"name": "csv", "path": "nips", "table": "images.csv", "first_label": 1, "side": 299, **columns}
    models = ["efficientnet_lite0", "efficientnet_lite1"]
    values = PARAMS | {"dataset": dataset, "training": None, "models": models, "sources": models[:1]}
    values["subset"] = {"images": "all", "targets": targets}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    write_plans(tmp_path)
    run_stage("prepare", tmp_path)
    labels = np.asarray(TensorFile(tmp_path / "data/images.safetensors")["labels"])
    assert labels.tolist() == [305, 999, 0]
    top = np.tile(np.arange(5), (3, 1))
    for model, right in zip(models, ([True, True, True], [True, True, False]), strict=True):
        top[:, 0] = np.where(right, labels, 7)
        predictions_file.write_clean(tmp_path / f"predictions/clean/{model}.parquet", top, labels)
    run_stage("select", tmp_path)
    drawn = read_clean_images(tmp_path / "subset/images.safetensors")
    assert drawn["index"].tolist() == [0, 1] and drawn["labels"].tolist() == [305, 999]
    assert drawn["target_labels"].tolist() == expected and drawn["images"].shape == (2, 3, 299, 299)
    rows = (tmp_path / "subset/subset.csv").read_text(encoding="utf-8").splitlines()
    assert rows[1] == f"0,305,{expected[0]},images/{SORTED[0]}"


def test_its_disk_is_that_of_its_side(tmp_path: Path) -> None:
    models = {"models": ["efficientnet_lite0"], "sources": ["efficientnet_lite0"], "training": None}
    values = PARAMS | models | {"dataset": {"name": "nips2017", "path": "x"}, "subset": {"images": "all"}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    shared = costs.cost(loading.load_experiment(tmp_path / "params.yaml")).shared
    assert shared == 1000 * (3 * 299**2 + 8)  # eight bytes of label an image


def test_given_targets_are_refused_by_params_yaml_where_there_are_none(tmp_path: Path) -> None:
    values = PARAMS | {"models": ["efficientnet_lite0"], "sources": ["efficientnet_lite0"], "training": None}
    values["subset"] = {"images": 3, "targets": "given"}
    for dataset, said in (
        ({"name": "imagenet-sample"}, "subset: targets: given: imagenet-sample gives no target labels; take random"),
        ({"name": "csv", "path": "x", "table": "t"}, "name the column of target labels as dataset: target_column"),
        ({"name": "csv", "path": "x", "table": "t", "target_column": "aim"}, ""),
        ({"name": "nips2017", "path": "x"}, ""),
    ):
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(values | {"dataset": dataset}))
        if not said:
            assert loading.load_experiment(tmp_path / "params.yaml").subset.targets == "given"
            continue
        with pytest.raises(UserError) as caught:
            loading.load_experiment(tmp_path / "params.yaml")
        assert said in str(caught.value) and "\n" not in str(caught.value)


def test_bad_inputs_are_one_line(images: Path, tmp_path: Path) -> None:
    given = {"name": "nips2017", "path": str(images)}
    assert "neither images.csv nor labels.csv is in it or beside it" in refused(tmp_path, **given)
    write_rows(images / "labels.csv", "file,class", [("a.png", 1)])
    message = refused(tmp_path, **given)
    assert "labels.csv has the columns file, class; expected ImageId, TrueLabel, TargetClass, or Trans" in message
    write_rows(images / "images.csv", "ImageId,TrueLabel", ((name, label) for name, (label, _) in ROWS.items()))
    assert "images.csv: unknown column 'TargetClass'; valid: ImageId, TrueLabel" in refused(tmp_path, **given)
    first, *rest = ROWS
    for rows, said in (
        (ROWS | {first: (0, 5)}, "line 2: TrueLabel is 0, expected 1 to 1000"),
        (ROWS | {first: (5, 1001)}, "line 2: TargetClass is 1001, expected 1 to 1000"),
        (ROWS | {first: (5, 5)}, "line 2: TargetClass is 5, which is the label; expected another"),
        (
            {name: ROWS[name] for name in rest},
            "has 2 rows, expected 3, the whole set's; for a part of it take the data",
        ),
        ({name: ROWS[name] for name in rest} | {"ab": (1, 2)}, "line 4 names 'ab', which"),
    ):
        kaggle_table(images, rows)
        assert said in refused(tmp_path, **given)
    kaggle_table(images)
    with open(images / "images.csv", "a", encoding="utf-8") as file:
        file.write(f"{first},x,0,3,4,y\n")
    assert "has 4 rows, expected 3" in refused(tmp_path, **given)
    kaggle_table(images)
    save(images / "images" / SORTED[1], 1, 224)
    assert f"{SORTED[1]} is 224x224 pixels, expected 299x299" in refused(tmp_path, **given)


def test_other_images_are_told_and_a_large_tar_is_left_to_prepare(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kaggle_table(images)
    (images / "categories.csv").write_text("1,tench\n")
    save(images / "images/ff.png", 1, 299)
    (note,) = make_dataset("nips2017", path=str(images)).survey(training=False).notes
    assert note.startswith("passed over: 2 files: .csv (1), in no row of the table (1); first categories.csv")
    tar = packed(images)
    monkeypatch.setattr(image_files, "PEEK", 2)
    assert make_dataset("nips2017", path=str(tar)).survey(training=False) == Survey(None)
