"""The data set named-digits: labels from names, images in the order of names, misnamed files refused."""

from pathlib import Path

from made_datasets import Prepared, refused, save


def test_labels_are_the_first_characters_of_names(tmp_path: Path) -> None:
    for name, grey in (("test/7-b", 50), ("test/0-a", 90), ("test/7-a", 20), ("train/3-a", 200)):
        save(tmp_path / f"digits/{name}.png", grey, 28, "L")
    made = Prepared(tmp_path / "out", training=True, name="named-digits", path=str(tmp_path / "digits"))
    assert made.labels.tolist() == [0, 7, 7] and made.images[:, 0, 14, 14].tolist() == [90, 20, 50]
    assert made.train_labels.tolist() == [3] and made.train_images[:, 0, 14, 14].tolist() == [200]


def test_a_name_without_a_digit_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "digits/test/seven.png", 50, 28, "L")
    error = refused(tmp_path, name="named-digits", path=str(tmp_path / "digits"))
    assert "test/seven.png: the name begins with 's', expected a digit; rename it" in error


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "digits/test/7.png", 50, 28, "L")
    error = refused(tmp_path, training=True, name="named-digits", path=str(tmp_path / "digits"))
    assert "train holds no images; expected names such as train/7-0012.png" in error
