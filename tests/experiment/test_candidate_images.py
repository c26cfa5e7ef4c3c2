"""The images that all models classify correctly: their number, and the models that shrink it, counted by hand."""

from pathlib import Path

import numpy as np
import pytest
from made_experiments import make

from crossfool.cli import check
from crossfool.datasets.preparation.config import Subset
from crossfool.errors import UserError
from crossfool.experiment.candidate_images import Candidates, Removal, count_candidates, known_candidates
from crossfool.pipeline.evaluation.predictions_file import write_clean

MODELS = ("lite0", "lite1", "lite2", "mynet")
OF_ALL = " (subset: {of: all} attacks all images)"


def right(images: int, **wrong: tuple[int, ...]) -> np.ndarray:
    """Which of so many images each model classifies correctly, (N,M), given the images on which it is wrong."""
    return np.array([[image not in places for places in wrong.values()] for image in range(images)])


def candidates(images: int, **wrong: tuple[int, ...]) -> Candidates:
    return count_candidates(right(images, **wrong), tuple(wrong))


def of_twenty() -> Candidates:
    """Candidates among 20 images: mynet is wrong on seven, three of which another model is wrong on, too."""
    return candidates(20, lite0=(0, 1), lite1=(0,), lite2=(2,), mynet=(0, 1, 2, 3, 4, 5, 6))


def test_the_weak_model_is_named_with_the_images_that_it_takes() -> None:
    found = of_twenty()
    assert (found.images, found.correct) == (20, 13)
    assert found.without == {"lite0": 13, "lite1": 13, "lite2": 13, "mynet": 17}
    assert found.shrinking == (Removal(("mynet",), 17),)
    said = "all 4 models classify them correctly; without mynet it would be 17"
    assert check._drawn(Subset(images="all"), found) == f"13 of 20 images: {said}{OF_ALL}"
    drawn = check._drawn(Subset(images=5), found)
    assert drawn == f"5 images, drawn from 13 of 20 images: {said}{OF_ALL.replace('attacks', 'draws from')}"
    drawn = check._drawn(Subset(images="all", tuning=3), found)
    assert drawn == f"10 images, drawn from 13 of 20 images: {said}{OF_ALL}"


def test_counts_by_a_loop_over_images() -> None:
    rights = np.random.default_rng(3).random((200, 5)) < (0.95, 0.9, 0.97, 0.7, 0.8)
    found = count_candidates(rights, tuple("abcde"))
    assert found.correct == sum(all(row) for row in rights)
    for place, model in enumerate("abcde"):
        assert found.without[model] == sum(all(np.delete(row, place)) for row in rights)
    assert [removal.models for removal in found.shrinking] == [("d",), ("e",)]


def test_models_that_take_few_images_are_not_named() -> None:
    """A model is named from a tenth of the images on which all others are right: 2 of 20, not 2 of 21."""
    at_the_limit = candidates(20, a=(0, 1), b=())
    assert at_the_limit.effect == "without a it would be 20"
    below = candidates(21, a=(0, 1), b=())
    assert (below.without, below.effect) == ({"a": 21, "b": 19}, "")
    assert check._drawn(Subset(images="all"), below) == "19 of 21 images: all 2 models classify them correctly"
    assert candidates(5, a=(), b=()).effect == ""


def test_the_two_that_take_most_are_named_the_first_takes_more() -> None:
    found = candidates(30, a=(0, 1, 2), b=(3, 4, 5, 6), c=(7, 8, 9, 10, 11), d=())
    assert found.correct == 18
    assert found.effect == "without c it would be 23, without b 22"  # a, to 21, is the third


def test_two_models_that_are_wrong_on_the_same_images_are_named_together() -> None:
    """Without one of both, the other is still wrong on 0 to 4; a pair is not named where a model alone is."""
    found = candidates(20, a=(0, 1, 2, 3, 4), b=(), c=(0, 1, 2, 3, 4, 5))
    assert (found.correct, found.without) == (14, {"a": 14, "b": 14, "c": 15})
    assert found.shrinking == (Removal(("a", "c"), 20),) and found.effect == "without a and c it would be 20"
    both = candidates(20, a=(0, 1, 2, 3, 4), c=(0, 1, 2, 3, 4, 5))
    assert both.effect == ""  # without both no model is left


def test_one_model() -> None:
    found = candidates(6, a=(0, 1, 2))
    assert check._drawn(Subset(images="all"), found) == "3 of 6 images: a classifies them correctly"


def test_too_few_images_are_refused_before_select_is() -> None:
    with pytest.raises(UserError, match=r"14 asked, but .* only 13 correctly; .*; without mynet it would be 17$"):
        of_twenty().refuse_too_few(Subset(images=14))
    of_twenty().refuse_too_few(Subset(images=13))
    with pytest.raises(UserError, match=r"no image is classified correctly by all .*; without a it would be 3$"):
        candidates(3, a=(0, 1, 2), b=()).refuse_too_few(Subset(images="all"))
    with pytest.raises(UserError, match=r"ask for 1 at most, or all$"):
        candidates(2, a=(0,)).refuse_too_few(Subset(images=2))


def test_predictions_that_are_out_of_date_or_missing_are_not_known(tmp_path: Path) -> None:
    """The made experiment has 17 images; of these its three models classify 8, those with an odd id, correctly."""
    experiment = make(tmp_path, {})
    found = known_candidates(tmp_path, experiment, set())
    assert found is not None and (found.images, found.correct, found.unknown) == (17, 8, ())
    labels = np.zeros(17, np.int64)
    write_clean(tmp_path / "predictions/clean/fnn4.parquet", np.ones((17, 5), np.int64), labels)
    found = known_candidates(tmp_path, experiment, set())
    assert found is not None and (found.correct, found.effect) == (0, "without fnn4 it would be 8")
    found = known_candidates(tmp_path, experiment, {"predictions/clean/fnn4.parquet"})
    assert found is not None and (found.correct, found.unknown) == (8, ("fnn4",))
    said = "the clean predictions of fnn4 are not known yet"
    assert check._drawn(experiment.subset, found) == f"8 of 17 images at most: 2 models classify them correctly; {said}"
    (tmp_path / "predictions/clean/fnn4.parquet").write_bytes(b"damaged")
    assert known_candidates(tmp_path, experiment, set()) is None
    (tmp_path / "predictions/clean/fnn4.parquet").unlink()
    (tmp_path / "predictions/clean/fnn2.parquet").unlink()
    found = known_candidates(tmp_path, experiment, set())
    said = "fnn0 classifies them correctly; the clean predictions of 2 more models are not known yet"
    assert found is not None and check._drawn(experiment.subset, found) == f"8 of 17 images at most: {said}"
    assert known_candidates(tmp_path, experiment, {"predictions/clean/fnn0.parquet"}) is None
    assert known_candidates(tmp_path, experiment, None) is None
    of_all = make(tmp_path, {}, subset={"images": "all", "of": "all"})
    assert known_candidates(tmp_path, of_all, set()) is None
