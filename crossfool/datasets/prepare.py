"""Preparation of a data set: find the loader of its splits, and write images, labels and the table of files.

A loader makes a `Split` for evaluation and, where a model is trained, one for training; `prepare` writes both.
"""

import contextlib
import csv
import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crossfool import config
from crossfool.datasets import image_files
from crossfool.datasets.cifar10 import (
    CIFAR10_FOLDER,
    cifar10_from_torchvision,
    cifar10_root,
    download_cifar10,
    refuse_incomplete_cifar10,
)
from crossfool.datasets.class_names import class_names
from crossfool.datasets.config import Dataset
from crossfool.datasets.image_folder import ImageSource
from crossfool.datasets.imagenet import imagenet, imagenet_sample
from crossfool.datasets.mnist import count_mnist, mnist_from_files, mnist_from_wheel
from crossfool.datasets.split import SHAPES, Split
from crossfool.errors import UserError
from crossfool.storage import atomic, tensors


@dataclass(frozen=True)
class Survey:
    """Result of a look at a data set before anything is decoded.

    Attributes:
        images: Number of evaluation images; None where it is not known yet: for a download, or a large tar.
        notes: Lines on files that are passed over.
    """

    images: int | None
    notes: tuple[str, ...] = ()


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
        images_path: safetensors: `images` (N,C,H,W) uint8 and `labels` (N,) int64.
        table_path: CSV with a row an image: id, label, file.
        train_path: As images_path; with no images where the data set has none or `training` is false.
        training: Whether a model is trained, so that training images are needed.

    Returns:
        Lines on files that were passed over.

    Raises:
        UserError: images are missing, damaged, of another size, or of no known class.
    """
    with contextlib.ExitStack() as stack:
        evaluation, train = _load(dataset, training, stack)
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


def survey(dataset: Dataset, *, training: bool) -> Survey:
    """Look at a data set's files as `prepare` does, by names and sizes alone: nothing is decoded, hashed or fetched.

    Raises:
        UserError: whatever `prepare` would refuse, as far as names and sizes show it.
    """
    if dataset.path is None:
        return Survey(None)
    path = images_place(dataset)
    if dataset.name == "mnist":
        return Survey(count_mnist(path))
    if dataset.name == "cifar10" and (cifar10_root(path) / CIFAR10_FOLDER).is_dir():
        refuse_incomplete_cifar10(cifar10_root(path) / CIFAR10_FOLDER)
        return Survey(None)
    source = ImageSource(image_files.peek(path), "", "")
    if not source.files.whole:
        source.refuse_unlikely_start(dataset)
        return Survey(None)
    evaluation, train = _from_files(dataset, source, training)
    for split in (evaluation, *([train] if train else [])):
        empty = source.files.first_empty(split.files)
        if empty is not None:
            raise UserError(f"{source.files.where(empty)} is empty (0 bytes); replace it or remove it")
    notes = dict.fromkeys(split.note for split in (evaluation, train) if split and split.note)
    return Survey(len(evaluation.labels), tuple(notes))


def images_place(dataset: Dataset) -> Path:
    """The folder or tar file that a data set's `path` leads to.

    Raises:
        UserError: there is none.
    """
    path = config.expand_path(dataset.path or "", "dataset: path")
    if not path.exists():
        raise UserError(f"dataset: path: {path} does not exist; give the folder or tar file that holds the images")
    return path


def _write_images(stack: contextlib.ExitStack, path: str | Path, dataset: Dataset, split: Split) -> None:
    """Stream a split to a file that appears when the stack is left without an error."""
    shape, count = SHAPES[dataset.family], len(split.labels)
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
    writer = stack.enter_context(tensors.tensor_writer(path, shapes, metadata))
    writer.append("labels", split.labels)
    split.write(functools.partial(writer.append, "images"))


def _load(dataset: Dataset, training: bool, stack: contextlib.ExitStack) -> tuple[Split, Split | None]:
    """The evaluation images, and the training images where wanted; the stack keeps their files open."""
    if dataset.path is None:
        load = {"mnist": mnist_from_wheel, "cifar10": download_cifar10, "imagenet-sample": imagenet_sample}[
            dataset.name
        ]
        return load(training)
    path = images_place(dataset)
    if dataset.name == "mnist":
        return mnist_from_files(path, training)
    if dataset.name == "cifar10" and (cifar10_root(path) / CIFAR10_FOLDER).is_dir():
        return cifar10_from_torchvision(cifar10_root(path), training, download=False)
    return _from_files(dataset, ImageSource.from_files(stack.enter_context(image_files.open_images(path))), training)


def _from_files(dataset: Dataset, source: ImageSource, training: bool) -> tuple[Split, Split | None]:
    """The splits of a data set that consists of image files; nothing is decoded before it is written."""
    if dataset.name == "cifar10":
        train = source.by_class("cifar10", "train", "train") if training else None
        return source.by_class("cifar10", "test", "test"), train
    if dataset.name == "imagenet":
        return imagenet(source), None
    wanted = training and dataset.train_folder is not None
    train = source.by_class(dataset.family, dataset.train_folder, "train") if wanted else None
    return source.by_class(dataset.family, dataset.folder, dataset.folder or "all"), train
