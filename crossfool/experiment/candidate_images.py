"""The images to draw the subset from, those that all models classify correctly, by the clean predictions that are here.

Imports no torch.
"""

from collections import Counter
from collections.abc import Container, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from crossfool.datasets.preparation.config import Subset
from crossfool.errors import UserError
from crossfool.experiment.config import Experiment
from crossfool.pipeline import subset

LEAST_SHARE = 0.1  # of the images that there would be without a model: one that takes away less is not named
MOST_NAMED = 2


@dataclass(frozen=True)
class Removal:
    """Models, and the number of images that all others classify correctly."""

    models: tuple[str, ...]
    correct: int


@dataclass(frozen=True)
class Candidates:
    """Counts of the images that all models classify correctly.

    Attributes:
        images: The number of images in the data set.
        correct: The number that all models with known predictions classify correctly.
        models: The models with known predictions.
        unknown: The other models: with them, `correct` is an upper limit.
        without: Model -> the number that all others classify correctly.
        shrinking: The removals that add most images, the first adds the most; none where all add few.
    """

    images: int
    correct: int
    models: tuple[str, ...]
    unknown: tuple[str, ...]
    without: Mapping[str, int]
    shrinking: tuple[Removal, ...]

    def drawn(self, asked: Subset) -> int:
        """The number of images that a subset draws."""
        return asked.images if isinstance(asked.images, int) else self.correct - (asked.tuning or 0)

    @property
    def effect(self) -> str:
        """The removals that add most images, in words; "" for none."""
        return ", ".join(
            f"without {' and '.join(removal.models)} {'' if number else 'it would be '}{removal.correct:,}"
            for number, removal in enumerate(self.shrinking)
        )

    def refuse_too_few(self, asked: Subset) -> None:
        """Refuse a subset that `select` would refuse, of more images than all models classify correctly.

        Raises:
            UserError: there are too few.
        """
        try:
            subset.draw_ids(np.arange(self.correct), asked)
        except UserError as error:
            raise UserError("; ".join(filter(None, (str(error), self.effect)))) from None


def known_candidates(folder: Path, experiment: Experiment, pending: Container[str] | None) -> Candidates | None:
    """Count the images that all models classify correctly, by their tables of clean predictions.

    Args:
        folder: The experiment's.
        experiment: Its params.yaml.
        pending: The outputs that have yet to be made, whose present files are out of date; None for all.

    Returns:
        None where no model's predictions are known, a table is damaged, or the subset is drawn from all images.
    """
    tables = {model: f"predictions/clean/{model}.parquet" for model in experiment.models}
    known = tuple(
        model
        for model, table in tables.items()
        if pending is not None and table not in pending and (folder / table).is_file()
    )
    if not known or experiment.subset.of == "all":
        return None
    try:
        right = subset.correct_by_model(folder / "predictions/clean", known)
    except (UserError, KeyError, ValueError):
        return None  # a damaged file is reported by the stage that reads it
    return count_candidates(right, known, tuple(model for model in tables if model not in known))


def count_candidates(right: np.ndarray, models: tuple[str, ...], unknown: tuple[str, ...] = ()) -> Candidates:
    """Count the images that all models classify correctly, and those that all but one or two do.

    Two models are removed together only where no model alone takes away many images: two that are wrong on the same
    images hide each other.

    Args:
        right: Which images each model classifies correctly, (N,M) bool.
        models: The models, M.
        unknown: Further models, whose predictions are not known.
    """
    few_wrong = right[(~right).sum(1) <= 2]
    wrong = Counter(tuple(models[place] for place in np.flatnonzero(~row)) for row in few_wrong)

    def remove(removed: tuple[str, ...]) -> Removal:
        sets = (names for size in range(len(removed) + 1) for names in combinations(removed, size))
        return Removal(removed, sum(wrong[names] for names in sets))

    correct = wrong[()]
    shrinking: list[Removal] = []
    for size, most in ((1, MOST_NAMED), (2, 1)):
        if not shrinking and size < len(models):  # without all models there is nothing to attack
            removals = sorted(map(remove, combinations(models, size)), key=lambda removal: -removal.correct)[:most]
            shrinking = [each for each in removals if each.correct - correct >= max(1, LEAST_SHARE * each.correct)]
    without = {model: remove((model,)).correct for model in models}
    return Candidates(len(right), correct, models, unknown, without, tuple(shrinking))
