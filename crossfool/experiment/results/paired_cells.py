"""Read two cells' predictions and check that they can be compared image by image.

Two cells can be paired if they rest on the same images, with the same labels and one objective. Imports no torch.
"""

from dataclasses import dataclass

import numpy as np

from crossfool.errors import UserError
from crossfool.experiment.results.revisions import WORKSPACE, Version
from crossfool.pipeline.evaluation import success
from crossfool.pipeline.evaluation.predictions_file import TOP_COLUMNS
from crossfool.storage import recovery


@dataclass(frozen=True)
class CellVersion:
    """A cell as one version of the experiment has it; as a text, its file's name and the version.

    Attributes:
        version: The experiment's files as they are, or a revision.
        source: The source model, or an ensemble's members joined by +.
        attack: The attack's name.
    """

    version: Version
    source: str
    attack: str

    @property
    def cell(self) -> tuple[str, str]:
        """Source and attack."""
        return self.source, self.attack

    @property
    def exists(self) -> bool:
        """Whether the version has predictions of the cell."""
        return self.cell in self.version.tables

    @property
    def md5(self) -> str:
        """The md5 of the predictions' file."""
        return self.version.tables[self.cell]

    @property
    def targeted(self) -> bool:
        """Whether the attack aims at a label."""
        return self.version.targeted(self.attack)

    def how_to_get(self) -> str:
        """The way to get predictions that the version lacks, as a message's end."""
        if self.version.name == WORKSPACE:
            return recovery.how_to_get(self.version.folder / f"predictions/{self.source}/{self.attack}.parquet")
        return "take revisions at which both were run"

    def __str__(self) -> str:
        where = "" if self.version.name == WORKSPACE else f" of {self.version.name}"
        return f"predictions/{self.source}/{self.attack}.parquet{where}"


@dataclass(frozen=True)
class CellPredictions:
    """The predictions of a cell.

    Attributes:
        ids, labels, target_labels: Image ids, true labels and target labels, (N,) each.
        top: Target model -> its top-5 classes, (N,5).
    """

    ids: np.ndarray
    labels: np.ndarray
    target_labels: np.ndarray
    top: dict[str, np.ndarray]


def read(cell: CellVersion) -> CellPredictions:
    """Read the predictions of a cell.

    Raises:
        UserError: the file is damaged, or DVC's cache does not have it.
    """
    table = cell.version.table(cell.cell)
    model_column = np.asarray(table["model"])
    models = list(dict.fromkeys(model_column.tolist()))
    top = np.stack([table[name].to_numpy() for name in TOP_COLUMNS], 1)
    first = model_column == models[0]
    ids, labels, target_labels = (table[name].to_numpy()[first] for name in ("id", "label", "target_label"))
    return CellPredictions(ids, labels, target_labels, {model: top[model_column == model] for model in models})


def refuse_unpaired(
    first: CellVersion, first_predictions: CellPredictions, second: CellVersion, second_predictions: CellPredictions
) -> None:
    """Check that the outcomes of two cells can be paired image by image.

    Raises:
        UserError: their images, labels or objectives differ.
    """
    if first.targeted != second.targeted:
        targeted, untargeted = (first, second) if first.targeted else (second, first)
        raise UserError(
            f"{_named(targeted, untargeted)} is targeted and {_named(untargeted, targeted)} is not: their rates count "
            "different things; compare attacks of one objective"
        )
    if not np.array_equal(first_predictions.ids, second_predictions.ids):
        common = len(np.intersect1d(first_predictions.ids, second_predictions.ids))
        raise UserError(
            f"{first} has {len(first_predictions.ids)} images and {second} has {len(second_predictions.ids)}, "
            f"of which {common} are the same; only the same images can be paired: compare versions with the same subset"
        )
    other_aims = first.targeted and not np.array_equal(
        first_predictions.target_labels, second_predictions.target_labels
    )
    if other_aims or not np.array_equal(first_predictions.labels, second_predictions.labels):
        raise UserError(
            f"{first} and {second} have different labels for the same images; compare versions with the same subset"
        )


def _named(cell: CellVersion, rival: CellVersion) -> str:
    """The attack of a cell, with its version where the rival is of the same attack."""
    return cell.attack if cell.attack != rival.attack else f"{cell.attack} of {cell.version.name}"


def outcome(cell: CellVersion, predictions: CellPredictions, target: str, metric: str) -> np.ndarray:
    """Images on which a cell's attack succeeds against a target model, as (N,) bool, by `metric`: top1 or top5."""
    aim = predictions.target_labels if cell.targeted else None
    return success.success(predictions.top[target], predictions.labels, aim)[("top1", "top5").index(metric)]
