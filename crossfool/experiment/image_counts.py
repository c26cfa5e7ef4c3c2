"""Counts of an experiment's images, by the files that are there. Imports no torch."""

from pathlib import Path

from crossfool.errors import UserError
from crossfool.experiment.config import Experiment
from crossfool.storage.json_files import read_json
from crossfool.storage.tensors import TensorFile


def decoded(folder: Path, experiment: Experiment) -> int | None:
    """The number of decoded images, by their table, their file, or the models' accuracy on them, which is in git."""
    table, images = folder / "data/images.csv", folder / "data/images.safetensors"
    if table.is_file():
        return row_count(table)
    try:
        if images.is_file():
            return len(TensorFile(images)["labels"])
        for path in (folder / "metrics/clean" / f"{model}.json" for model in experiment.models):
            if path.is_file():
                return int(read_json(path)["n"])
    except (UserError, KeyError, TypeError, ValueError, IndexError):
        pass  # a damaged file is reported by the stage that reads it
    return None


def decoded_training(folder: Path) -> int | None:
    """The number of decoded training images, by their file."""
    path = folder / "data/train.safetensors"
    try:
        return len(TensorFile(path)["labels"]) if path.is_file() else None
    except (UserError, KeyError):
        return None  # as in `decoded`


def row_count(table: Path) -> int | None:
    """The number of rows of a CSV; None where it is not there."""
    if not table.is_file():
        return None
    return max(table.read_bytes().count(b"\n") - 1, 0)
