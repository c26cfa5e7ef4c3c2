"""ImageNet-V2: folders called by numbers are read as numbers, whole or not at all."""

from pathlib import Path

import numpy as np
import pytest
from made_datasets import Prepared, packed, refused, save

from crossfool.datasets import imagenet_v2
from crossfool.datasets.preparation import split
from crossfool.datasets.preparation.catalogue import make_dataset
from crossfool.datasets.preparation.dataset import Survey
from crossfool.datasets.reading import image_files
from crossfool.errors import UserError


@pytest.fixture
def numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One image in each of 1,000 folders, whose grey says the label."""
    monkeypatch.setattr(imagenet_v2.Part, "EACH", 1)
    monkeypatch.setitem(split.SHAPES, "imagenet", split.Shape(3, 8, 8))  # for speed
    root = tmp_path / "imagenetv2-matched-frequency-format-val"
    for label in range(1000):
        save(root / str(label) / f"{(label * 7919) % 1000:03}.png", label % 256, 8)
    return root


@pytest.mark.parametrize("kind", [None, "w:gz"])
def test_numbers_are_no_text(numbered: Path, tmp_path: Path, kind: str | None) -> None:
    path = numbered if kind is None else packed(numbered, kind, wrapped=True)
    done = Prepared(tmp_path / "out", name="imagenet-v2", path=str(path), training=True)
    assert done.labels.tolist() == list(range(1000))  # sorted as text, 2 would follow 199
    assert (done.images == (np.arange(1000) % 256).astype(np.uint8).reshape(-1, 1, 1, 1)).all()
    assert [Path(name).parent.name for name in done.files] == [str(label) for label in range(1000)]
    assert done.metadata["dataset"] == "imagenet-v2" and done.metadata["family"] == "imagenet"
    assert make_dataset("imagenet-v2", path=str(path)).survey(training=False) == Survey(1000 if kind is None else None)


def test_what_is_not_one_of_its_sets_is_refused(numbered: Path, tmp_path: Path) -> None:
    given = {"name": "imagenet-v2", "path": str(numbered)}
    (numbered / "999").rename(numbered / "1000")  # counted from 1
    message = refused(tmp_path, **given)
    assert "1000/081.png lies in the folder '1000', expected ImageNet-V2's class folders, 0 to 999; for fold" in message
    (numbered / "1000/081.png").rename(numbered / "7/081.png")
    assert "the class folder 7 holds 2 images, expected 1 in each of 0 to 999, as in one of" in refused(
        tmp_path, **given
    )
    (numbered / "7/081.png").rename(numbered / "081.png")
    assert "081.png lies in no folder, expected" in refused(tmp_path, **given)
    (numbered / "081.png").unlink()
    assert "the class folder 999 holds 0 images, expected 1" in refused(tmp_path, **given)
    for name in ("n01440764", "007"):
        save(tmp_path / name / name / "a.png", 1, 8)
        message = refused(tmp_path, name="imagenet-v2", path=str(tmp_path / name))
        assert f"a.png lies in the folder '{name}', expected" in message and "data set imagefolder" in message


def test_other_data_sets_name_it(numbered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers could be another set's, too: none is guessed."""
    message = refused(tmp_path, name="imagenet", path=str(numbered))
    assert (
        "/0/000.png lies in a folder called by a number, as ImageNet-V2's are; for those take the data set " in message
    )
    assert "imagenet-v2" in message
    assert "the class folder '0' is no ImageNet id" in refused(tmp_path, name="imagefolder", path=str(numbered))
    assert "take the data set imagenet-v2" in refused(tmp_path, name="imagefolder", path=str(numbered))
    tar = packed(numbered)
    monkeypatch.setattr(image_files, "PEEK", 9)
    for name, said in (("imagenet", "in a folder called by a number"), ("imagenet-v2", "")):
        dataset = make_dataset(name, path=str(tar))
        if not said:
            assert dataset.survey(training=False) == Survey(None)
            continue
        with pytest.raises(UserError, match=said):
            dataset.survey(training=False)
    save(tmp_path / "d/cat/a.png", 1, 8)
    for number in range(9):
        save(tmp_path / f"d/cat/{number}.png", 1, 8)
    with pytest.raises(UserError, match="lies in the folder 'cat', expected ImageNet-V2's"):
        make_dataset("imagenet-v2", path=str(packed(tmp_path / "d"))).survey(training=False)
