"""Tuning images: apart from scored ones whatever is asked for, the same for all that share seed, models and data."""

from pathlib import Path

import numpy as np
import pytest
from builders import SEEDED, metadata
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from crossfool.datasets.preparation.config import Subset
from crossfool.errors import UserError
from crossfool.pipeline import subset
from crossfool.storage.tensors import TensorFile, write_tensors

AVAILABLE = st.lists(st.integers(0, 999), min_size=2, max_size=60, unique=True).map(sorted).map(np.array)
SEEDS = st.integers(0, 2**63 - 1)


def drawn(available: np.ndarray, **section: object) -> set[int]:
    """Ids that a section `subset` draws, which are sorted and each there once."""
    ids = subset.draw_ids(available, Subset(**section)).tolist()
    assert ids == sorted(set(ids)) and set(ids) <= set(available.tolist())
    return set(ids)


@SEEDED
@given(AVAILABLE, SEEDS, st.data())
def test_scored_and_tuning_images_are_disjoint(available: np.ndarray, seed: int, data: st.DataObject) -> None:
    tuning = data.draw(st.integers(1, len(available) - 1))
    images = data.draw(st.integers(1, len(available) - tuning) | st.just("all"))
    scored = drawn(available, images=images, seed=seed, tuning=tuning)
    apart = drawn(available, images=images, seed=seed, tuning=tuning, use="tuning")
    assert not scored & apart and len(apart) == tuning
    assert len(scored) == (len(available) - tuning if images == "all" else images)
    assert images != "all" or scored | apart == set(available.tolist())
    assert drawn(available, images=images, seed=seed, tuning=tuning, use="scored") == scored


@SEEDED
@given(AVAILABLE, SEEDS, st.data())
def test_no_number_moves_an_image_from_one_to_the_other(available: np.ndarray, seed: int, data: st.DataObject) -> None:
    """The tuning images of N and of another N are the same; scored images are those of no tuning images at all."""
    tuning = data.draw(st.integers(1, len(available) - 1))
    few, many = sorted(data.draw(st.tuples(*[st.integers(1, len(available) - tuning)] * 2)))
    apart = [drawn(available, images=n, seed=seed, tuning=tuning, use="tuning") for n in (few, many, "all")]
    assert apart[0] == apart[1] == apart[2]
    scored = [drawn(available, images=n, seed=seed, tuning=tuning) for n in (few, many, "all")]
    assert scored[0] <= scored[1] <= scored[2] and not scored[2] & apart[0]
    assert scored[1] == drawn(available, images=many, seed=seed)
    fewer = data.draw(st.integers(1, tuning))
    assert drawn(available, images=few, seed=seed, tuning=fewer, use="tuning") <= apart[0]


@SEEDED
@given(AVAILABLE, SEEDS, st.integers(1, 60) | st.just("all"), st.integers(0, 60), st.sampled_from(["scored", "tuning"]))
def test_too_few_images_are_told_in_one_line(
    available: np.ndarray, seed: int, images: int | str, tuning: int, use: str
) -> None:
    """Refused is what asks for too many in both roles together, whichever is attacked."""
    if use == "tuning" and not tuning:
        return
    section = Subset(images=images, seed=seed, tuning=tuning, use=use)
    enough = tuning + (1 if images == "all" else int(images)) <= len(available)
    if enough:
        assert len(subset.draw_ids(available, section))
        return
    with pytest.raises(UserError) as caught:
        subset.draw_ids(available, section)
    assert f"images: {images}" in str(caught.value) and f"only {len(available)} correctly" in str(caught.value)
    assert f"tuning: {tuning}" in str(caught.value) or not tuning


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            {"images": 5, "tuning": 3},
            "subset: images: 5 and tuning: 3 asked, 8 together, but all models classify only 7 correctly; "
            "ask for 7 at most together",
        ),
        (
            {"images": "all", "tuning": 7},
            "subset: images: all and tuning: 7 asked, but all models classify only 7 correctly; "
            "ask for 6 at most as tuning",
        ),
        (
            {"images": 5, "tuning": 3, "of": "all"},
            "subset: images: 5 and tuning: 3 asked, 8 together, but the data set has 7; ask for 7 at most together",
        ),
    ],
)
def test_too_few_images_in_words(section: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as caught:
        subset.draw_ids(np.arange(7), Subset(**section))
    assert str(caught.value) == message


def test_tuning_images_have_to_be_set_apart_to_be_used() -> None:
    for tuning in ({}, {"tuning": 0}):
        with pytest.raises(ValidationError, match="use: tuning asks for tuning images, and none are set apart"):
            Subset(images=3, use="tuning", **tuning)
    for wrong in ({"tuning": -1}, {"tuning": True}, {"tuning": 1.5}, {"use": "tune", "tuning": 1}):
        with pytest.raises(ValidationError):
            Subset(images=3, **wrong)


def test_the_file_says_that_its_images_are_tuning_images(tmp_path: Path) -> None:
    """A file of scored images is the same, byte for byte, whether tuning images are set apart or not."""
    labels = np.array([4, 1, 3, 3, 0, 2])
    pixels = np.arange(6 * 12, dtype=np.uint8).reshape(6, 3, 2, 2)
    about = {"dataset": "made", "family": "cifar10", "classes": "10"}
    write_tensors(tmp_path / "images.safetensors", {"images": pixels, "labels": labels}, about)
    table = "id,label,file\n" + "".join(f"{number},{label},{number}.png\n" for number, label in enumerate(labels))
    (tmp_path / "images.csv").write_text(table, encoding="utf-8")
    images = TensorFile(tmp_path / "images.safetensors")
    ids = np.array([1, 5])
    for name, section in (
        ("none", {}),
        ("apart", {"tuning": 2}),
        ("scored", {"tuning": 2, "use": "scored"}),
        ("tuning", {"tuning": 2, "use": "tuning"}),
    ):
        subset.write_subset(ids, images, tmp_path / "images.csv", Subset(images=2, **section), tmp_path / name)
    none, apart, scored, tuning = (
        (tmp_path / name / "images.safetensors").read_bytes() for name in ("none", "apart", "scored", "tuning")
    )
    assert none == apart == scored != tuning
    assert metadata(tmp_path / "tuning/images.safetensors")["use"] == "tuning"
    assert "use" not in metadata(tmp_path / "none/images.safetensors")
