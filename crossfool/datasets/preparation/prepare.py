"""Preparation of a data set: write its images, labels and the table of files.

A data set makes a `Split` for evaluation and, where a model is trained, one for training; `prepare` writes both.
"""

import contextlib
import csv
import functools
from pathlib import Path

import numpy as np

from crossfool.datasets.preparation.class_names import class_names
from crossfool.datasets.preparation.dataset import Dataset
from crossfool.datasets.preparation.split import Split
from crossfool.storage import atomic, tensors


def prepare(
    dataset: Dataset,
    images_path: str | Path,
    table_path: str | Path,
    train_path: str | Path,
    *,
    training: bool,
) -> list[str]:
    """Write a data set's evaluation images, their table and its training images; all three or none.

    Args:
        dataset: The data set.
        images_path: safetensors: `images` (N,C,H,W) uint8, `labels` (N,) int64 and, where the data set gives target
            labels, `target_labels` (N,) int64.
        table_path: CSV with a row an image: id, label, file.
        train_path: As images_path; with no images where the data set has none or `training` is false.
        training: Whether a model is trained, so that training images are needed.

    Returns:
        Lines on files that were passed over.

    Raises:
        UserError: images are missing, damaged, of another size, or of no known class.
    """
    with contextlib.ExitStack() as stack:
        evaluation, train = dataset.splits(training, stack)
        if train is None:
            train = Split(np.zeros(0, np.int64), [], lambda write: None, "train", evaluation.source, evaluation.sha256)
        _write_images(stack, images_path, dataset, evaluation)
        _write_images(stack, train_path, dataset, train)
        with (
            atomic.replacing(table_path) as temporary,
            open(temporary, "w", encoding="utf-8", newline="") as file,
        ):
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["id", "label", "file"])
            rows = zip(evaluation.labels.tolist(), evaluation.files, strict=True)
            table.writerows([number, label, name] for number, (label, name) in enumerate(rows))
        return list(dict.fromkeys(split.note for split in (evaluation, train) if split.note))


def _write_images(stack: contextlib.ExitStack, path: str | Path, dataset: Dataset, split: Split) -> None:
    """Stream a split to a file that appears when the stack is left without an error."""
    shape, count = dataset.shape, len(split.labels)
    metadata = {
        "dataset": dataset.name,
        "family": dataset.family,
        "classes": str(len(class_names(dataset.family))),
        "split": split.split,
        "source": split.source,
    }
    if split.sha256:
        metadata["source_sha256"] = split.sha256
    shapes = {
        "images": ("uint8", (count, shape.channels, shape.side, shape.side)),
        "labels": ("int64", (count,)),
    }
    if split.target_labels is not None:
        shapes["target_labels"] = ("int64", (count,))
    writer = stack.enter_context(tensors.tensor_writer(path, shapes, metadata))
    writer.append("labels", split.labels)
    if split.target_labels is not None:
        writer.append("target_labels", split.target_labels)
    split.write(functools.partial(writer.append, "images"))
