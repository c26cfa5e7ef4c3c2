"""Export cells of an experiment into a folder: PNG files, labels, hashes, and descriptions for people and programs.

Imports no torch. `storage/exported_images.py` reads such a folder.
"""

import contextlib
import csv
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crossfool.datasets.preparation.class_names import class_names
from crossfool.errors import UserError
from crossfool.experiment import provenance
from crossfool.experiment.export import card, croissant
from crossfool.experiment.recorded_cell import RecordedCell
from crossfool.pipeline.evaluation.adversarial_file import read_adversarial
from crossfool.storage import exported_images, hashing, recovery
from crossfool.storage.clean_images import read_clean_images
from crossfool.storage.json_files import json_text
from crossfool.storage.tensors import TensorFile
from crossfool.version import VERSION

ARRAYS = "images.npz"


def export_cells(names: Sequence[str], folder: Path, out: Path, *, arrays: bool = False) -> int:
    """Write clean and adversarial images of cells, and what describes them, into a new folder.

    The folder appears whole or not at all, and what was written is read back and compared with the cells.

    Args:
        names: Cells as `provenance.find_cell` takes them.
        folder: The experiment's.
        out: The new folder.
        arrays: Whether to write the images as one file of numpy arrays, too.

    Returns:
        The number of PNG files.

    Raises:
        UserError: there is no such cell, or its file is missing, damaged or of another subset; the cells are of several
            experiments; or `out` exists.
    """
    if out.exists() or out.is_symlink():
        raise UserError(f"{out} exists; choose another name with --to, or remove it first")
    cells = list({(cell.source, cell.name): cell for cell in (provenance.find_cell(n, folder) for n in names)}.values())
    first = cells[0].folder
    for cell in cells:
        if cell.folder.resolve() != first.resolve():
            raise UserError(f"{cell.folder} and {first} are two experiments; export the cells of one at a time")
        if cell.file is None:
            raise recovery.missing_file(cell.path)
    path = first / "subset/images.safetensors"
    subset = read_clean_images(path)
    found = [read_adversarial(cell.path, path, cell.source, cell.attack) for cell in cells]
    with _appearing(out) as unfinished:
        _write(unfinished, cells, subset, found, arrays=arrays)
        _compare(unfinished, subset, found)
        return sum(1 for _ in unfinished.rglob("*.png"))


def _write(
    out: Path, cells: Sequence[RecordedCell], subset: TensorFile, found: Sequence[np.ndarray], *, arrays: bool
) -> None:
    """Write all files of an exported folder."""
    index = subset["index"].tolist()
    for number, image in zip(index, subset["images"], strict=True):
        exported_images.write_png(out / f"clean/{number}.png", image)
    for cell, images in zip(cells, found, strict=True):
        for number, image in zip(index, images, strict=True):
            exported_images.write_png(out / _place(cell, number), image)
    with open(out / exported_images.LABELS, "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(exported_images.COLUMNS)
        for cell in cells:
            table.writerows(_rows(cell, subset))
    record = _record(cells, subset, found)
    (out / exported_images.RECORD).write_text(json_text(record), encoding="utf-8")
    if arrays:
        tensors = {"clean": subset["images"], **{name: subset[name] for name in ("labels", "target_labels", "index")}}
        made = {f"{cell.source}/{cell.name}": images for cell, images in zip(cells, found, strict=True)}
        np.savez(out / ARRAYS, **tensors, **made)  # type: ignore[arg-type]
    (out / "README.md").write_text(card.card(cells, record, ARRAYS if arrays else ""), encoding="utf-8")
    (out / "croissant.json").write_text(json_text(croissant.describe(out, record)), encoding="utf-8")
    exported_images.write_sums(out)


def _place(cell: RecordedCell, index: int) -> str:
    """Path of an adversarial image in the folder."""
    return f"adversarial/{cell.source}/{cell.name}/{index}.png"


def _rows(cell: RecordedCell, subset: TensorFile) -> Iterator[tuple[object, ...]]:
    """A cell's rows of labels.csv; the target label is empty where the attack is untargeted."""
    names = class_names(cell.experiment.dataset.family)
    columns = (subset[name].tolist() for name in ("index", "labels", "target_labels"))
    for index, label, aim in zip(*columns, strict=True):
        aimed = aim if cell.attack.targeted else ""
        yield cell.source, cell.name, index, label, names[label], aimed, f"clean/{index}.png", _place(cell, index)


def _record(cells: Sequence[RecordedCell], subset: TensorFile, found: Sequence[np.ndarray]) -> dict[str, Any]:
    """Content of cells.json: the data set, and each cell's parameters, hashes and weights records."""
    experiment = cells[0].experiment
    return {
        "crossfool": VERSION,
        "dataset": experiment.dataset.name,
        "family": experiment.dataset.family,
        "classes": len(class_names(experiment.dataset.family)),
        "licence": experiment.dataset.LICENCE,
        "shape": list(subset["images"].shape[1:]),
        "images": len(subset["images"]),
        "subset": {"sha256": hashing.sha256(subset.path), "images_sha256": _digest(subset["images"])},
        "cells": [
            {
                "source": cell.source,
                "attack": cell.name,
                "params": cell.attack.model_dump(exclude_none=True),
                "compute": cell.json_metadata("compute") or experiment.compute.model_dump(),
                "sha256": hashing.sha256(cell.path),
                "images_sha256": _digest(images),
                "weights": dict(cell.weights_record) or cell.json_metadata("weights") or {},
            }
            for cell, images in zip(cells, found, strict=True)
        ],
    }


def _digest(images: np.ndarray) -> str:
    """The sha256 of the values of an array, as a safetensors file of crossfool has it of its tensors."""
    return hashlib.sha256(np.ascontiguousarray(images).data.cast("B")).hexdigest()


def _compare(out: Path, subset: TensorFile, found: Sequence[np.ndarray]) -> None:
    """Read an exported folder back, and refuse one that does not hold the cells."""
    read = exported_images.ExportedFolder(out).cells()
    for cell, images in zip(read, found, strict=True):
        same = np.array_equal(cell.adversarial, images) and np.array_equal(cell.clean, subset["images"])
        targets = cell.target_labels is None or np.array_equal(cell.target_labels, subset["target_labels"])
        if not (same and targets and np.array_equal(cell.labels, subset["labels"])):
            raise UserError(f"{cell.source}/{cell.attack}: the files written do not hold the cell; look at the disk")


@contextlib.contextmanager
def _appearing(out: Path) -> Iterator[Path]:
    """Give a temporary folder beside `out`, renamed to `out` when the block ends well and removed when it does not."""
    unfinished = out.parent / f".{out.name}.{os.getpid()}.tmp"
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
        os.rename(unfinished, out)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
