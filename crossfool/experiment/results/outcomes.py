"""The outcomes of an experiment, image by image, on which ranks, paired tests and claims rest. Imports no torch."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from crossfool.errors import UserError
from crossfool.experiment.config import Experiment
from crossfool.experiment.results.gradient_variation import read_variation, saliency_path
from crossfool.experiment.results.metrics import Results
from crossfool.pipeline.evaluation import predictions_file
from crossfool.pipeline.evaluation import success as evaluation_success
from crossfool.pipeline.gradient_analysis.config import Similarity
from crossfool.stats.paired_tests import OutcomePair
from crossfool.storage import recovery
from crossfool.storage.csv_files import read_csv
from crossfool.storage.tensors import TensorFile

SUBSET = Path("subset/images.safetensors")


@dataclass(frozen=True)
class Evidence:
    """Outcomes of an experiment, image by image; the N images are in one order throughout.

    Attributes:
        experiment: Its params.yaml.
        hits: (source, attack of `attacks` or a grid, target) -> whether the attack succeeded, (N,) bool.
        hits5: Like `hits`, by the top-5 criterion.
        destroyed: (source, attack, target, transform, level) -> whether the target is right after the transform,
            (N,) bool.
        clean: Model -> `top1`, its percent accuracy on the whole data set, and `parameters`, their count.
        similarity: Analysis -> samples, the plain gradient's 0 first, and cosines (images, len(samples)).
        wrong: Like `hits`, of `attacks` alone: whether the target's prediction is not the true label, (N,) bool.
        variation: Analysis of `saliency` -> samples, the plain gradient's 0 first, and the gradients' total variation
            divided by their L1 norm (images, len(samples)).
    """

    experiment: Experiment
    hits: Mapping[tuple[str, str, str], np.ndarray]
    hits5: Mapping[tuple[str, str, str], np.ndarray]
    destroyed: Mapping[tuple[str, str, str, str, float], np.ndarray]
    clean: Mapping[str, Mapping[str, Any]]
    similarity: Mapping[str, tuple[tuple[int, ...], np.ndarray]]
    wrong: Mapping[tuple[str, str, str], np.ndarray] = field(default_factory=dict)
    variation: Mapping[str, tuple[tuple[int, ...], np.ndarray]] = field(default_factory=dict)

    @property
    def images(self) -> int:
        """N, the number of images; 0 where there are no cells."""
        return len(next(iter(self.hits.values()), ()))

    @property
    def empty(self) -> bool:
        """Whether there are cells, but no image that all models get right, so that nothing can be compared."""
        return bool(self.hits) and not self.images

    @property
    def untargeted(self) -> list[str]:
        """The names of untargeted attacks of `attacks`."""
        return [name for name, row in self.experiment.attacks.items() if not row.targeted]

    def success(self, source: str, attack: str, target: str) -> np.ndarray:
        """Images on which an attack succeeded, as (N,) bool: by the top-5 criterion where the attack is targeted."""
        return (self.hits5 if self.experiment.row(attack).targeted else self.hits)[source, attack, target]

    def cells(self, attack: str) -> list[tuple[str, str]]:
        """(source, target) of an attack's black-box cells, those of a source together; none where `empty`."""
        if self.empty:
            return []
        pairs = itertools.product(self.experiment.sources, self.experiment.models)
        return [(s, t) for s, t in pairs if t not in s.split("+") and (s, attack, t) in self.hits]

    def single(self, attack: str) -> list[tuple[str, str]]:
        """(source, target) of an attack's black-box cells whose source is a single model."""
        return [(source, target) for source, target in self.cells(attack) if "+" not in source]

    def rate(self, attack: str) -> float:
        """The share of images, 0..1, that an attack succeeds on: the mean over its black-box cells."""
        return float(np.mean([self.success(source, attack, target).mean() for source, target in self.cells(attack)]))

    def against(self, first: str, second: str, taken: Callable[[str], bool] = lambda source: True) -> list[OutcomePair]:
        """Success of two attacks, (N,) bool each, on each black-box cell that both have.

        Args:
            first: The attack whose outcomes come first.
            second: The attack that is subtracted.
            taken: Whether a source's cells are wanted; all are by default.
        """
        common = [cell for cell in self.common(first, second) if taken(cell[0])]
        return [(self.success(s, first, t), self.success(s, second, t)) for s, t in common]

    def common(self, first: str, second: str) -> list[tuple[str, str]]:
        """(source, target) of the black-box cells that two attacks both have."""
        shared = set(self.cells(second))
        return [cell for cell in self.cells(first) if cell in shared]


class OutcomesMissing(Exception):
    """The predictions of some cell are not in the folder, as in a clone that has metrics alone."""


def files(folder: Path, experiment: Experiment) -> Iterator[Path]:
    """The files that `read_evidence` reads."""
    if experiment.sources and experiment.subset.of == "all":
        yield folder / SUBSET
    for source in experiment.sources:
        yield from (folder / "predictions" / source / f"{attack}.parquet" for attack in experiment.rows)
        yield from (folder / "transformed" / source / f"{attack}.parquet" for attack in experiment.attacks)
    yield from (folder / "analysis/similarity" / f"{name}.csv" for name in experiment.similarity)
    yield from (saliency_path(folder, name) for name in experiment.saliency)


def read_evidence(folder: Path, results: Results) -> Evidence:
    """Read the outcomes of the experiment in `folder`, on the images that all models get right.

    Raises:
        UserError: a table is missing, damaged or of other images.
    """
    experiment = results.experiment
    counted = counted_images(folder, experiment.subset.of == "all") if experiment.sources else slice(None)
    if counted is None:
        raise recovery.missing_file(folder / SUBSET)
    hits: dict[tuple[str, str, str], np.ndarray] = {}
    hits5: dict[tuple[str, str, str], np.ndarray] = {}
    wrong: dict[tuple[str, str, str], np.ndarray] = {}
    destroyed: dict[tuple[str, str, str, str, float], np.ndarray] = {}
    for source in experiment.sources:
        for attack, row in experiment.rows.items():
            path = folder / "predictions" / source / f"{attack}.parquet"
            top, labels, target_labels = predictions_file.read_cell(path)
            if set(top) != set(experiment.answering) or len(labels) != results.n:
                raise UserError(
                    f"{path} does not match metrics/: expected the models and images of metrics/, found others; "
                    "delete it and run `dvc repro`"
                )
            for target, predictions in top.items():
                cell = source, attack, target
                by_criterion = evaluation_success.success(predictions, labels, target_labels if row.targeted else None)
                hits[cell], hits5[cell] = (outcome[counted] for outcome in by_criterion)
                wrong[cell] = (predictions[:, 0] != labels)[counted]
            if attack not in experiment.attacks:
                continue
            transformed = predictions_file.read_transformed(
                folder / "transformed" / source / f"{attack}.parquet", len(labels)
            )
            for (target, transform, level), predictions in transformed.items():
                destroyed[source, attack, target, transform, level] = (predictions == labels)[counted]
    similarity = {name: read_similarity(folder, name, row) for name, row in experiment.similarity.items()}
    variation = {name: read_variation(folder, name, row) for name, row in experiment.saliency.items()}
    return Evidence(experiment, hits, hits5, destroyed, results.clean, similarity, wrong, variation)


def counted_images(folder: Path, of_all: bool) -> slice | np.ndarray | None:
    """Attacked images that all models get right, as (N,) bool; a whole slice where only such images are attacked.

    Args:
        folder: The experiment's.
        of_all: Whether the attacked images are drawn from all images (`subset: {of: all}`), right or not.

    Returns:
        None where the subset would tell, and is not in the folder, as in a clone.

    Raises:
        UserError: the subset is damaged.
    """
    if not of_all:
        return slice(None)
    if not (folder / SUBSET).exists():
        return None
    right = predictions_file.right_by_model(TensorFile(folder / SUBSET))
    return slice(None) if right is None else np.logical_and.reduce(list(right.values()))


def read_similarity(folder: Path, name: str, row: Similarity) -> tuple[tuple[int, ...], np.ndarray]:
    """Read a similarity analysis: values of m, 0 for the plain gradient, and cosines (images, values).

    Raises:
        UserError: the table is missing, damaged or of other images or samples.
    """
    path = folder / "analysis/similarity" / f"{name}.csv"
    samples = (0, *row.samples)
    rows = read_csv(path, {"image": int, "samples": int, "cosine": float})
    if [int(values["samples"]) for values in rows] != list(samples) * row.images:
        raise UserError(
            f"{path} does not match params.yaml: expected {row.images} images with m = {', '.join(map(str, samples))}, "
            "found others; run `dvc repro`"
        )
    return samples, np.array([float(values["cosine"]) for values in rows]).reshape(row.images, len(samples))
