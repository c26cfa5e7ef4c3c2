"""The subset: who is in it, in what order, and with which target labels."""

import csv
from pathlib import Path

import numpy as np
import pytest

from crossfool.datasets.preparation.config import Subset
from crossfool.errors import UserError
from crossfool.pipeline import subset
from crossfool.storage.parquet import write_table
from crossfool.storage.tensors import TensorFile, write_tensors

LABELS = np.array([4, 1, 3, 3, 0, 2])


def clean(folder: Path, model: str, top1: list[int]) -> None:
    columns = {f"top{rank}": np.full(6, 9) for rank in range(2, 6)}
    write_table(folder / f"{model}.parquet", {"id": np.arange(6), "label": LABELS, "top1": np.array(top1), **columns})


def test_commonly_correct_by_hand(tmp_path):
    clean(tmp_path, "a", [4, 1, 0, 3, 0, 2])  # wrong at 2
    clean(tmp_path, "b", [4, 0, 3, 3, 0, 2])  # wrong at 1
    right = subset.correct_by_model(tmp_path, ("a", "b"))
    assert subset.candidate_ids(right, Subset(images="all")).tolist() == [0, 3, 4, 5]
    with pytest.raises(UserError, match=r"c.parquet is missing"):
        subset.correct_by_model(tmp_path, ("a", "b", "c"))


def test_draw_is_seeded_sorted_and_nested():
    available = np.arange(0, 400, 2)
    some = subset.draw_ids(available, Subset(images=50, seed=3))
    assert some.tolist() == sorted(set(some.tolist())) and set(some) <= set(available) and len(some) == 50
    assert np.array_equal(some, subset.draw_ids(available, Subset(images=50, seed=3)))
    assert set(some) < set(subset.draw_ids(available, Subset(images=80, seed=3)))
    assert set(some) != set(subset.draw_ids(available, Subset(images=50, seed=4)))
    assert np.array_equal(subset.draw_ids(available, Subset(images="all")), available)


def test_fewer_than_asked_says_how_many_there_are():
    with pytest.raises(UserError, match="images: 8 asked, but all models classify only 7 correctly; ask for 7 at most"):
        subset.draw_ids(np.arange(7), Subset(images=8))
    with pytest.raises(UserError, match="no image is classified correctly by all models"):
        subset.draw_ids(np.arange(0), Subset(images="all"))


def test_target_labels_are_never_the_true_label_and_cover_the_others():
    ids, labels = np.arange(3000), np.arange(3000) % 10
    targets = subset.draw_target_labels(ids, labels, 10, Subset(images="all", seed=1))
    assert (targets != labels).all() and targets.min() == 0 and targets.max() == 9
    counts = np.bincount((targets - labels) % 10, minlength=10)
    assert counts[0] == 0 and counts[1:].min() > 250  # 333 expected of each of the nine others
    some = subset.draw_target_labels(ids[5:9], labels[5:9], 10, Subset(images="all", seed=1))
    assert some.tolist() == targets[5:9].tolist()  # of the image, not of the subset
    other = subset.draw_target_labels(ids, labels, 10, Subset(images="all", seed=2))
    assert (other != targets).any()
    following = subset.draw_target_labels(ids, labels, 10, Subset(images="all", targets="next"))
    assert following[:3].tolist() == [1, 2, 3] and following[9] == 0
    two = subset.draw_target_labels(np.arange(4), np.array([0, 1, 1, 0]), 2, Subset(images="all"))
    assert two.tolist() == [1, 0, 0, 1]


PIXELS = np.arange(6 * 12, dtype=np.uint8).reshape(6, 3, 2, 2)
TABLE = "id,label,file\n" + "".join(f"{i},{LABELS[i]},é{i}.png\n" for i in range(6))


def made(folder: Path, classes: str = "10", table: bytes = TABLE.encode()) -> TensorFile:
    about = {"dataset": "made", "family": "cifar10", "classes": classes}
    write_tensors(folder / "images.safetensors", {"images": PIXELS, "labels": LABELS}, about)
    (folder / "images.csv").write_bytes(table)
    return TensorFile(folder / "images.safetensors")


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (TABLE.encode()[:-2], r"is damaged \(its last line is cut off\)"),
        (TABLE.encode()[:-10], r"is damaged"),
        (TABLE.encode()[: TABLE.encode().index(b"5,2")], "is not of the images in"),
        (TABLE.replace("3,3", "3,4").encode(), "is not of the images in"),
        (TABLE.replace("3,3", "4,3").encode(), "is not of the images in"),
        (TABLE.replace("label", "lebal").encode(), r"is damaged \(its columns are"),
        (TABLE.encode().replace(b"\xc3", b"\xff"), "is damaged"),
    ],
)
def test_a_damaged_table_of_images_is_one_line(tmp_path, table, reason):
    images = made(tmp_path, table=table)
    with pytest.raises(UserError, match=rf"images\.csv {reason}.* delete it and run `dvc repro`"):
        subset.write_subset(np.array([1]), images, tmp_path / "images.csv", Subset(images=1), tmp_path / "s")
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("classes", ["", "x", "-1", "1", "4", "1e3", "9" * 5000])
def test_a_number_of_classes_that_is_none(tmp_path, classes):
    images = made(tmp_path, classes=classes)
    with pytest.raises(UserError, match=r"images\.safetensors: its labels are not of '.*' classes"):
        subset.write_subset(np.array([1]), images, tmp_path / "images.csv", Subset(images=1), tmp_path / "s")


def test_written_subset_is_the_images(tmp_path):
    images, pixels = made(tmp_path), PIXELS
    subset.write_subset(
        np.array([1, 5]), images, tmp_path / "images.csv", Subset(images=2, targets="next"), tmp_path / "s"
    )
    out = TensorFile(tmp_path / "s" / "images.safetensors")
    assert out["images"].tolist() == pixels[[1, 5]].tolist()
    assert (out["labels"].tolist(), out["target_labels"].tolist(), out["index"].tolist()) == ([1, 2], [2, 3], [1, 5])
    with open(tmp_path / "s" / "subset.csv", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [
            ["id", "label", "target_label", "file"],
            ["1", "1", "2", "é1.png"],
            ["5", "2", "3", "é5.png"],
        ]


def test_given_target_labels_are_the_data_sets(tmp_path):
    made(tmp_path)
    about = {"dataset": "made", "family": "cifar10", "classes": "10"}
    aims = np.array([9, 8, 7, 6, 5, 4])
    write_tensors(tmp_path / "with.safetensors", {"images": PIXELS, "labels": LABELS, "target_labels": aims}, about)
    given = Subset(images=2, targets="given")
    ids, table = np.array([1, 5]), tmp_path / "images.csv"
    subset.write_subset(ids, TensorFile(tmp_path / "with.safetensors"), table, given, tmp_path / "s")
    assert TensorFile(tmp_path / "s/images.safetensors")["target_labels"].tolist() == [8, 4]
    assert (tmp_path / "s/subset.csv").read_text(encoding="utf-8").splitlines()[1:] == ["1,1,8,é1.png", "5,2,4,é5.png"]
    with pytest.raises(UserError, match="holds no tensor 'target_labels'"):
        subset.write_subset(ids, TensorFile(tmp_path / "images.safetensors"), table, given, tmp_path / "none")
    assert not (tmp_path / "none").exists()
