"""Images with a table: names of columns, numbers, WordNet ids and class names as labels, and every bad input."""

from pathlib import Path

import numpy as np
import pytest
from made_datasets import Prepared, packed, refused, save, write_rows
from PIL import Image

from crossfool.datasets.preparation.catalogue import make_dataset
from crossfool.datasets.preparation.dataset import Survey
from crossfool.errors import UserError
from crossfool.storage import clean_images
from crossfool.storage.clean_images import read_clean_images

NAMES = ("b/x.png", "a/y.png", "a/z.jpg")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three images in two folders, a grey each, and one that no table names; no table yet."""
    for number, name in enumerate((*NAMES, "a/other.png")):
        save(tmp_path / "photos" / name, 40 * number, 32)
    return tmp_path / "photos"


def given(path: Path, **keys: object) -> dict[str, object]:
    return {"name": "csv", "path": str(path), "table": "labels.csv", "classes": "cifar10", **keys}


@pytest.mark.parametrize("kind", [None, "w", "w:xz"])
def test_the_tables_order_is_the_images(photos: Path, tmp_path: Path, kind: str | None) -> None:
    write_rows(photos / "labels.csv", "file,label", zip(NAMES, (3, 9, 0), strict=True))
    path = photos if kind is None else packed(photos, kind, wrapped=kind == "w:xz")
    done = Prepared(tmp_path / "out", **given(path))
    assert done.labels.tolist() == [3, 9, 0] and done.target_labels is None
    assert done.images[:2, 0, 0, 0].tolist() == [0, 40] and abs(int(done.images[2, 0, 0, 0]) - 80) < 4  # a JPEG
    start = "photos/" if kind == "w:xz" else ""
    assert done.files == [start + name for name in NAMES]
    survey = make_dataset(**given(path)).survey(training=False)
    assert survey.images == 3
    assert survey.notes[0].startswith("passed over: 1 file: in no row of the table (1); first ")


@pytest.mark.parametrize(
    ("columns", "keys"),
    [
        ("label,file", {}),
        ("class,Filename", {}),
        ("wnid,path", {}),
        ("class_id,ImageId", {}),
        ("aim,what", {"file_column": "what", "label_column": "aim"}),
        ("\ufefflabel,file", {}),
        ("label;file", {}),
        ("label\tfile", {}),
    ],
)
def test_columns_by_usual_names_or_by_name(photos: Path, tmp_path: Path, columns: str, keys: dict[str, str]) -> None:
    write_rows(photos / "labels.csv", columns, [])
    delimiter = next(mark for mark in ";\t," if mark in columns)
    with open(photos / "labels.csv", "a") as file:
        file.writelines(f"{label}{delimiter}{name}\n" for label, name in ((2, NAMES[1]), (1, NAMES[0])))
    done = Prepared(tmp_path / "out", **given(photos, **keys))
    assert (done.labels.tolist(), done.files) == ([2, 1], [NAMES[1], NAMES[0]])


def test_files_are_named_whole_by_their_last_parts_or_without_ending(photos: Path, tmp_path: Path) -> None:
    texts = ("./b/x.png", "y", "photos\\a\\z.jpg")
    write_rows(photos.parent / "labels.csv", "file,label,note", ((text, 1, "a, b") for text in texts[:2]))
    done = Prepared(tmp_path / "out", **given(photos))  # the table lies beside the folder
    assert done.files == list(NAMES[:2])
    write_rows(photos.parent / "labels.csv", "file,label", [(texts[2], 1)])
    message = refused(tmp_path, **given(photos))
    assert "labels.csv: line 2 names 'photos\\\\a\\\\z.jpg', which" in message
    assert Prepared(tmp_path / "tar", **given(packed(photos, wrapped=True))).files == ["photos/a/z.jpg"]


@pytest.mark.parametrize(
    ("classes", "labels", "first", "expected"),
    [
        ("imagenet", ("n01440764", "goldfish", "281"), 0, [0, 1, 281]),
        ("imagenet", ("1", "2", "1000"), 1, [0, 1, 999]),
        ("imagenet", ("great white shark", "999", "0"), 0, [2, 999, 0]),
        ("cifar10", ("truck", "0", "cat"), 0, [9, 0, 3]),
        ("mnist", ("9", "0", "5"), 0, [9, 0, 5]),
    ],
)
def test_labels_are_numbers_ids_or_names(
    photos: Path, tmp_path: Path, classes: str, labels: tuple[str, ...], first: int, expected: list[int]
) -> None:
    for name in NAMES:
        save(photos / name, 7, 28 if classes == "mnist" else 32)
    write_rows(photos / "labels.csv", "file,label", zip(NAMES, labels, strict=True))
    done = Prepared(tmp_path / "out", **given(photos, classes=classes, first_label=first))
    assert done.labels.tolist() == expected
    assert done.images.shape[1:] == clean_images.IMAGE_SHAPES[classes]


def test_target_labels_are_taken_where_their_column_is_named(photos: Path, tmp_path: Path) -> None:
    write_rows(photos / "labels.csv", "file,label,targeted_label", zip(NAMES, (3, 9, 0), (4, 8, 1), strict=True))
    assert Prepared(tmp_path / "a", **given(photos)).target_labels is None
    done = Prepared(tmp_path / "b", **given(photos, target_column="targeted_label"))
    assert done.target_labels.tolist() == [4, 8, 1] and done.target_labels.dtype == np.int64
    assert "unknown column of dataset: target_column 'targeted_labels'; did you mean targeted_label?" in refused(
        tmp_path, **given(photos, target_column="targeted_labels")
    )


def test_training_images_have_a_table_of_their_own(photos: Path, tmp_path: Path) -> None:
    write_rows(photos / "labels.csv", "file,label", [(NAMES[0], 3)])
    write_rows(photos / "train.csv", "file,label", [(NAMES[1], 9), (NAMES[2], 0)])
    keys = given(photos, train_table="train.csv")
    done = Prepared(tmp_path / "out", training=True, **keys)
    assert done.labels.tolist() == [3] and done.train_labels.tolist() == [9, 0]
    assert Prepared(tmp_path / "none", **keys).train_labels.tolist() == []
    with pytest.raises(ValueError, match="train_table is missing; lenet is to be trained on its images"):
        make_dataset(**given(photos)).refuse_training("lenet")
    with pytest.raises(ValueError, match="train_table is used by no model here"):
        make_dataset(**keys).refuse_training(None)
    make_dataset(**keys).refuse_training("lenet")
    assert make_dataset(**keys).inner_paths == {"table": "labels.csv", "train_table": "train.csv"}


@pytest.mark.parametrize("side", [8, 299, 512])
def test_images_keep_a_side(tmp_path: Path, side: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    (tmp_path / "d").mkdir()
    Image.fromarray(pixels).save(tmp_path / "d/a.png")
    write_rows(tmp_path / "d/labels.csv", "file,label", [("a.png", 5)])
    done = Prepared(tmp_path / "out", **given(tmp_path / "d", classes="imagenet", side=side))
    np.testing.assert_array_equal(done.images[0], pixels.transpose(2, 0, 1))
    assert read_clean_images(tmp_path / "out/images.safetensors")["images"].shape == (1, 3, side, side)
    message = refused(tmp_path, **given(tmp_path / "d", classes="imagenet", side=100))
    assert f"a.png is {side}x{side} pixels, expected 100x100" in message
    assert Prepared(tmp_path / "cut", **given(tmp_path / "d", classes="imagenet")).images.shape[2:] == (224, 224)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"side": 7}, "side"),
        ({"side": 513}, "side"),
        ({"side": 32, "classes": "cifar10"}, "side is for pictures of ImageNet's classes, and classes is cifar10"),
        ({"first_label": 2}, "first_label"),
    ],
)
def test_keys_that_cannot_be(keys: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make_dataset("csv", path="x", table="t", **keys)


def test_a_side_that_is_kept_is_one_that_files_of_images_may_have() -> None:
    sides = clean_images.OTHER_SIDES["imagenet"]
    for side in (sides.start, sides.stop - 1):
        make_dataset("csv", path="x", table="t", side=side)


GOOD = "file,label\nb/x.png,3\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no rows; expected a line of column names, and below it a row an image"),
        ("file,label\n", "has no rows"),
        ("name,label\nb/x.png,3\n", "has the columns name, label, expected file or filename or file_name or "),
        ("b/x.png,3\na/y.png,2\n", "has the columns b/x.png, 3, expected file or"),
        (
            "image,path,label\n1,2,3\n",
            "of which image and path could be meant; name the one to take as dataset: file_c",
        ),
        ("file,label,label\nb/x.png,3,4\n", "has two columns 'label'; rename one"),
        ("file,kind\nb/x.png,3\n", "expected label or class or class_id or label_id or wnid or synset; name the one"),
        (GOOD + "a/y.png\n", "line 3 has 1 values, expected 2, one a column"),
        (GOOD + "a/y.png,1,2\n", "line 3 has 3 values, expected 2, one a column"),
        (GOOD + "a/q.png,1\na/r.png,1\n", "line 3 names 'a/q.png', which"),
        (GOOD + "a/q.png,1\na/r.png,1\n", "does not hold (nor 1 more); add the file, or remove the row"),
        (GOOD + "a/y.png,1\nb/x.png,3\n", "line 4 names 'b/x.png' again, as line 2 does; remove one"),
        (GOOD + "a/y.png,1\nx.png,3\n", "line 4 names 'x.png' again, as line 2 does; remove one"),
        (
            GOOD + "a/y.png,10\n",
            "line 3: label is 10, expected 0 to 9; where the table counts classes from 1, set data",
        ),
        (GOOD + "a/y.png,trukc\n", "line 3: label: unknown class 'trukc'; did you mean truck"),
        (GOOD + "a/y.png,-1\n", "line 3: label: unknown class '-1'"),
        (GOOD + "a/y.png,1.0\n", "line 3: label: unknown class '1.0'"),
        (GOOD + "a/y.png,\n", "line 3: label: unknown class ''"),
        (GOOD + "a/y.png,٣\n", "line 3: label: unknown class '٣'"),
        ("file,label\n\xff", "is no text in UTF-8; save it as CSV in UTF-8"),
        ("file,label\n" + "x" * 200_000 + ",1\n", "is no CSV (field larger than field limit (131072)); save it as CSV"),
    ],
    ids=range(21),
)
def test_bad_tables_are_one_line(photos: Path, tmp_path: Path, text: str, said: str) -> None:
    (photos / "labels.csv").write_bytes(text.encode("latin-1" if "\xff" in text else "utf-8"))
    message = refused(tmp_path, **given(photos))
    assert said in message and str(photos / "labels.csv") in message
    with pytest.raises(UserError) as caught:  # `check` says the same
        make_dataset(**given(photos)).survey(training=False)
    assert str(caught.value) == message


def test_bad_places_are_one_line(photos: Path, tmp_path: Path) -> None:
    message = refused(tmp_path, **given(photos))
    assert message == f"dataset: table: labels.csv is neither in {photos} nor beside it, in {tmp_path}"
    save(photos / "b/y.png", 1, 32)
    write_rows(photos / "labels.csv", "file,label", [("y.png", 3)])
    assert "line 2: y.png could be a/y.png or b/y.png; write the whole name" in refused(tmp_path, **given(photos))
    write_rows(photos / "labels.csv", "file,label", [("x.png", 0)])
    assert "label is 0, expected 1 to 10" in refused(tmp_path, **given(photos, first_label=1))
    for folder in "ab":
        (photos / folder / "more.csv").write_text(GOOD)
    assert "a/more.csv is there twice, also as b/more.csv" in refused(tmp_path, **given(photos, table="more.csv"))
    assert Prepared(tmp_path / "out", **given(photos, table="b/more.csv")).labels.tolist() == [3]
    (photos / "b/x.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"x\.png is empty \(0 bytes\)"):
        make_dataset(**given(photos)).survey(training=False)


def test_a_large_tar_is_left_to_prepare(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from crossfool.datasets.reading import image_files

    monkeypatch.setattr(image_files, "PEEK", 2)
    assert make_dataset(**given(packed(photos))).survey(training=False) == Survey(None)
