"""The gallery of the HTML report: images, what was added to them, and what the targets say. Imports no torch."""

import base64
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crossfool.datasets.class_names import class_names
from crossfool.errors import UserError
from crossfool.experiment.config import Experiment
from crossfool.pipeline.evaluation import predictions_file
from crossfool.report.html import data_uris
from crossfool.storage import csv_files
from crossfool.storage.tensors import TensorFile

IMAGES = 12
GAIN = 8
TRUE, AIM = "✓", "◎"  # behind an answer: the true class, and the one that a targeted attack aims at

Answers = Mapping[str, np.ndarray]  # target -> top-5 classes (n,5) to the first n images


@dataclass(frozen=True)
class Cell:
    """What one source and attack made of the first images of the subset.

    Attributes:
        source, attack: Its names.
        images: (n,C,H,W) uint8.
        after: The targets' answers to them.
    """

    source: str
    attack: str
    images: np.ndarray
    after: Answers


@dataclass(frozen=True)
class Gallery:
    """What is shown at first, and the data to show all else.

    Attributes:
        data: For the page's script, as JSON has it: `sources`, `attacks`, those of them that are `targeted`, `targets`,
            `classes`, `images`. The first image's clean picture is `clean` and is not repeated.
        image, source, attack, aim: What is shown at first; `aim` the class that a targeted attack aims at, else "".
        clean, adversarial, perturbation: Its pictures, as data URIs; the perturbation times `GAIN`.
        answers: Target, its top-5 before and its top-5 after: names, and a mark: `TRUE`, `AIM`, or none.
    """

    data: Mapping[str, Any]
    image: str
    source: str
    attack: str
    aim: str
    clean: str
    adversarial: str
    perturbation: str
    answers: Sequence[tuple[str, Sequence[tuple[str, str]], Sequence[tuple[str, str]]]]


def gather(folder: Path, experiment: Experiment, room: int) -> Gallery | None:
    """The gallery of the experiment in `folder`, in about `room` characters; None where its images are not there.

    It holds the first images of the subset, 12 or as many as there is room for, under every source and attack;
    where there is no room for one image under all, under the first of them.

    Raises:
        UserError: a file is broken or of other images.
    """
    places = [folder / "subset/images.safetensors", folder / "subset/subset.csv"]
    if not all(path.exists() for path in places):
        return None
    subset = TensorFile(places[0])
    clean, ids = (np.asarray(subset[name][:IMAGES]) for name in ("images", "index"))
    before = {model: _clean_answers(folder, model, ids) for model in experiment.answering}
    rows = csv_files.read_csv(places[1], {"id": int, "label": int, "target_label": int, "file": str})
    for column, name in (("id", "index"), ("label", "labels"), ("target_label", "target_labels")):
        if [int(row[column]) for row in rows] != subset[name].tolist():
            raise UserError(f"{places[1]} is not of the images in {places[0]}; delete both and run `dvc repro`")
    rows = rows[: len(clean)]
    cells: list[Cell] = []
    taken = 0
    for cell in _cells(folder, experiment, subset["images"].shape):
        if not cells:
            taken = sum(map(len, _shown(clean[0], cell.images[0])))
        taken += len(_png(data_uris.difference(cell.images[0], clean[0])))
        if cells and taken > room:
            break
        cells.append(cell)
    targeted = {name for name, row in experiment.attacks.items() if row.targeted}
    found = (experiment.dataset.family, rows, clean, before, cells, room)
    return build(*found, targeted=targeted) if cells and len(clean) else None


def _clean_answers(folder: Path, model: str, ids: np.ndarray) -> np.ndarray:
    result: np.ndarray = predictions_file.read_clean(folder / "predictions/clean" / f"{model}.parquet")[1][ids]
    return result


def _cells(folder: Path, experiment: Experiment, shape: tuple[int, ...]) -> Iterator[Cell]:
    """The cells that lie in `folder`, read one by one: checking one reads it whole."""
    for source in experiment.sources:
        for attack in experiment.attacks:
            place = folder / "adversarial" / source / f"{attack}.safetensors"
            if not place.exists():
                continue
            images = TensorFile(place)["images"]
            after = predictions_file.read_cell(folder / "predictions" / source / f"{attack}.parquet")[0]
            if images.shape != shape or {len(top) for top in after.values()} != {len(images)}:
                raise UserError(f"{place} is not of the subset's images; delete it and run `dvc repro`")
            first = {model: after[model][:IMAGES] for model in experiment.answering}
            yield Cell(source, attack, np.asarray(images[:IMAGES]), first)


def build(
    family: str,
    rows: Sequence[Mapping[str, str]],
    clean: np.ndarray,
    before: Answers,
    cells: Sequence[Cell],
    room: int,
    *,
    targeted: Collection[str] = (),
) -> Gallery:
    """The gallery of some images and cells.

    Args:
        family: Whose classes the labels are.
        rows: Of subset.csv: id, label, target_label, file.
        clean: (n,C,H,W) uint8.
        before: The targets' answers to them.
        cells: What attacks made of them; at least one.
        room: For the pictures, in characters; the first image is taken in any case.
        targeted: Those attacks that aim at a label.
    """
    names = class_names(family)
    first = cells[0]
    shown = _shown(clean[0], first.images[0])
    room -= sum(map(len, shown))
    images: list[dict[str, Any]] = []
    used: set[int] = set()
    for place, row in enumerate(rows):
        image = _image(place, row, clean[place], before, cells)
        room -= len(image["clean"]) + sum(len(cell["difference"]) for cell in image["cells"])
        if images and room < 0:
            break
        images.append(image)
        used |= {image["label"], image["target_label"], *_flat(image["before"])}
        used |= {label for cell in image["cells"] for label in _flat(cell["after"])}
    data = {
        "sources": list(dict.fromkeys(cell.source for cell in cells)),
        "attacks": list(dict.fromkeys(cell.attack for cell in cells)),
        "targeted": [name for name in dict.fromkeys(cell.attack for cell in cells) if name in targeted],
        "targets": list(before),
        "classes": {str(label): names[label] for label in sorted(used)},
        "images": images,
    }
    one = images[0]
    marks = {one["target_label"]: AIM} if first.attack in targeted else {}
    marks[one["label"]] = TRUE

    def told(top: Sequence[int]) -> list[tuple[str, str]]:
        return [(names[label], marks.get(label, "")) for label in top]

    return Gallery(
        data=data,
        image=f"{one['file']}: {names[one['label']]}",
        source=first.source,
        attack=first.attack,
        aim=names[one["target_label"]] if first.attack in targeted else "",
        clean=shown[0],
        adversarial=shown[1],
        perturbation=shown[2],
        answers=[
            (target, told(top), told(after))
            for target, top, after in zip(before, one["before"], one["cells"][0]["after"], strict=True)
        ],
    )


def _shown(clean: np.ndarray, adversarial: np.ndarray) -> tuple[str, str, str]:
    """An image, what an attack made of it, and what it added, as data URIs."""
    added = data_uris.enlarged(adversarial, clean, GAIN)
    return data_uris.png_uri(clean), data_uris.png_uri(adversarial), data_uris.png_uri(added)


def _image(
    place: int, row: Mapping[str, str], clean: np.ndarray, before: Answers, cells: Sequence[Cell]
) -> dict[str, Any]:
    return {
        "file": row["file"] or f"image {row['id']}",
        "label": int(row["label"]),
        "target_label": int(row["target_label"]),
        "channels": len(clean),
        "clean": _png(clean) if place else "",
        "before": [top[place].tolist() for top in before.values()],
        "cells": [
            {
                "source": cell.source,
                "attack": cell.attack,
                "difference": _png(data_uris.difference(cell.images[place], clean)),
                "after": [top[place].tolist() for top in cell.after.values()],
            }
            for cell in cells
        ],
    }


def _png(pixels: np.ndarray) -> str:
    return base64.b64encode(data_uris.png(pixels)).decode()


def _flat(tops: Sequence[Sequence[int]]) -> set[int]:
    return {label for top in tops for label in top}
