"""ImageNet's validation set, flat with a table of labels: Kaggle's, or one that params.yaml names."""

from pathlib import Path

import numpy as np
import pytest
from made_datasets import Prepared, make_devkit, packed, refused, save, write_rows

from crossfool.datasets.preparation.catalogue import make_dataset
from crossfool.datasets.preparation.dataset import Survey
from crossfool.datasets.reading import devkit, image_files
from crossfool.errors import UserError

FILES = tuple(f"ILSVRC2012_val_{number:08}" for number in (1, 2, 3))
IDS = ("n02123045", "n01440764", "n01443537")  # 281, 0, 1
SOLUTION = [
    (file, f"{wnid} 85 1 499 272 {wnid} 3 4 5 6 ") for file, wnid in zip(reversed(FILES), reversed(IDS), strict=True)
]


@pytest.fixture
def flat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A flat validation set of three images in Kaggle's place; no labels yet."""
    monkeypatch.setattr(devkit, "IMAGENET_IMAGES", 3)
    root = tmp_path / "kaggle/ILSVRC/Data/CLS-LOC/val"
    for number, file in enumerate(FILES):
        save(root / f"{file}.JPEG", 20 * number, 60)
    return root


def check_whole(done: Prepared) -> None:
    assert done.labels.tolist() == [281, 0, 1] and [Path(name).stem for name in done.files] == list(FILES)
    np.testing.assert_allclose(done.images.mean((1, 2, 3)), [0, 20, 40], atol=1)
    assert done.metadata["dataset"] == "imagenet" and done.metadata["split"] == "validation"


@pytest.mark.parametrize("kind", [None, "w", "w:gz"])
@pytest.mark.parametrize("up", [0, 1, 4])
def test_kaggles_table(flat: Path, tmp_path: Path, up: int, kind: str | None) -> None:
    """In the folder or tar, beside it, or at the top of Kaggle's tree."""
    if up == 0:
        write_rows(flat / "LOC_val_solution.csv", "ImageId,PredictionString", SOLUTION)
    path = flat if kind is None else packed(flat, kind, wrapped=True)
    if up:
        write_rows(flat.parents[up - 1] / "LOC_val_solution.csv", "ImageId,PredictionString", SOLUTION)
    given = {"name": "imagenet", "path": str(path)}
    check_whole(Prepared(tmp_path / "out", **given))
    assert make_dataset(**given).survey(training=False) == Survey(3)  # the table is not passed over


@pytest.mark.parametrize("kind", [None, "w"])
@pytest.mark.parametrize("labels", [(281, 0, 1), IDS])
@pytest.mark.parametrize("inside", [True, False])
def test_a_table_that_is_named(flat: Path, tmp_path: Path, inside: bool, labels: tuple, kind: str | None) -> None:
    rows = [(f"{file}.JPEG", label) for file, label in zip(FILES, labels, strict=True)]
    write_rows((flat if inside else flat.parent) / "val.csv", "file,label", reversed(rows))
    path = flat if kind is None else packed(flat, kind)
    given = {"name": "imagenet", "path": str(path), "table": "val.csv"}
    check_whole(Prepared(tmp_path / "out", **given))
    assert make_dataset(**given).survey(training=False) == Survey(3)
    assert make_dataset(**given).inner_paths == {"table": "val.csv"}


def test_the_devkit_goes_before_kaggles_table_and_a_named_table_before_both(flat: Path, tmp_path: Path) -> None:
    make_devkit(flat.parent, [1, 2, 3], packed=True)
    (flat / "LOC_val_solution.csv").write_text("no table\n")
    check_whole(Prepared(tmp_path / "a", name="imagenet", path=str(flat)))
    write_rows(flat / "val.csv", "filename,wnid", zip(FILES, reversed(IDS), strict=True))
    assert Prepared(tmp_path / "b", name="imagenet", path=str(flat), table="val.csv").labels.tolist() == [1, 0, 281]


def test_bad_tables_are_one_line(flat: Path, tmp_path: Path) -> None:
    given = {"name": "imagenet", "path": str(flat)}
    message = refused(tmp_path, **given)
    assert "ILSVRC2012_devkit_t12.tar.gz with their labels is not beside them; put it, or Kaggle's LOC_val_s" in message
    assert "dataset: table: val.csv is neither in" in refused(tmp_path, table="val.csv", **given)
    for rows, said in (
        (
            SOLUTION[:2],
            f"{FILES[0]}.JPEG is in no row of {flat}/LOC_val_solution.csv; add the row, or remove the image",
        ),
        (
            [*SOLUTION, ("ILSVRC2012_val_00000004", f"{IDS[0]} 1 2 3 4")],
            "line 5 names 'ILSVRC2012_val_00000004', which",
        ),
        ([*SOLUTION, SOLUTION[0]], f"line 5 names '{FILES[2]}' again, as line 2 does"),
        ([(FILES[0], "n99999999 1 2 3 4"), *SOLUTION[:2]], "line 2: PredictionString: unknown class 'n99999999'"),
        ([(FILES[0], ""), *SOLUTION[:2]], "line 2: PredictionString: unknown class ''"),
    ):
        write_rows(flat / "LOC_val_solution.csv", "ImageId,PredictionString", rows)
        assert said in refused(tmp_path, **given)
    write_rows(flat / "val.csv", "file,label", zip(FILES, (1, 2, 1000), strict=True))
    assert "line 4: label is 1000, expected 0 to 999" in refused(tmp_path, table="val.csv", **given)
    (flat / f"{FILES[1]}.JPEG").unlink()
    assert "holds 2 images, expected the 3 of ImageNet's" in refused(tmp_path, table="val.csv", **given)


def test_a_table_of_class_folders_is_refused(flat: Path, tmp_path: Path) -> None:
    for file, wnid in zip(FILES, IDS, strict=True):
        (flat / wnid).mkdir()
        (flat / f"{file}.JPEG").rename(flat / wnid / f"{file}.JPEG")
    message = refused(tmp_path, name="imagenet", path=str(flat), table="val.csv")
    assert message == f"dataset: table: {flat} has class folders, and their names are the labels; remove it"


def test_of_a_large_tar_the_start_is_looked_at(flat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tar = packed(flat)
    monkeypatch.setattr(image_files, "PEEK", 2)
    with pytest.raises(UserError, match="with their labels is not beside them"):
        make_dataset("imagenet", path=str(tar)).survey(training=False)
    assert make_dataset("imagenet", path=str(tar), table="x.csv").survey(training=False) == Survey(None)
    write_rows(tar.parent / "LOC_val_solution.csv", "ImageId,PredictionString", SOLUTION)
    assert make_dataset("imagenet", path=str(tar)).survey(training=False) == Survey(None)
