"""Gallery of the page: clean and adversarial images, perturbations, and the targets' predictions. Imports no torch."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crossfool.datasets.class_names import class_names
from crossfool.errors import UserError
from crossfool.experiment.config import Experiment
from crossfool.pipeline.evaluation import predictions_file
from crossfool.report.html.data_uris import webp_base64, webp_uri
from crossfool.report.perturbations import difference, enlarged
from crossfool.storage import csv_files
from crossfool.storage.tensors import TensorFile

IMAGES = 12  # at most
GAIN = 8  # by which a perturbation is enlarged at first
TRUE, AIM = "✓", "◎"  # behind a predicted class: the true class, and the one that a targeted attack aims at

Predictions = Mapping[str, np.ndarray]  # target -> top-5 classes (n,5) of the first n images


@dataclass(frozen=True)
class CellImages:
    """The adversarial images that one source and attack made of the subset's first images.

    Attributes:
        source, attack: Names of the source model and the attack.
        images: (n,C,H,W) uint8.
        after: The targets' predictions for them.
    """

    source: str
    attack: str
    images: np.ndarray
    after: Predictions


@dataclass(frozen=True)
class Gallery:
    """The images that the gallery shows at first, and the data to show all others.

    Attributes:
        data: For the page's script, as JSON has it: `sources`, `attacks`, those of them that are `targeted`, `targets`,
            `classes`, `images`. The first image's clean picture is `clean` and is not repeated.
        image, source, attack, aim: Names of what is shown at first; `aim` is the class that a targeted attack aims at,
            else "".
        clean, adversarial, perturbation: The first pictures, as data URIs; the perturbation times `GAIN`.
        answers: Target, its top-5 before and its top-5 after: class names, and a mark: `TRUE`, `AIM`, or none.
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


def gather_gallery(folder: Path, experiment: Experiment, room: int) -> Gallery | None:
    """Gather the gallery of the experiment in `folder`, in about `room` characters; None where its images are missing.

    The gallery holds the first images of the subset, 12 or as many as there is room for, under every source and
    attack; where there is no room for one image under all, under the first of them.

    Raises:
        UserError: a file is broken or of other images.
    """
    images_path, table_path = folder / "subset/images.safetensors", folder / "subset/subset.csv"
    if not (images_path.exists() and table_path.exists()):
        return None
    subset = TensorFile(images_path)
    clean, ids = (np.asarray(subset[name][:IMAGES]) for name in ("images", "index"))
    before = {model: _clean_predictions(folder, model, ids) for model in experiment.answering}
    rows = csv_files.read_csv(table_path, {"id": int, "label": int, "target_label": int, "file": str})
    for column, name in (("id", "index"), ("label", "labels"), ("target_label", "target_labels")):
        if [int(row[column]) for row in rows] != subset[name].tolist():
            raise UserError(f"{table_path} is not of the images in {images_path}; delete both and run `dvc repro`")
    rows = rows[: len(clean)]
    cells: list[CellImages] = []
    characters = 0
    for cell in _cells(folder, experiment, subset["images"].shape):
        if not cells:
            characters = sum(map(len, _picture_uris(clean[0], cell.images[0])))
        characters += len(webp_base64(difference(cell.images[0], clean[0])))
        if cells and characters > room:
            break
        cells.append(cell)
    targeted = {name for name, row in experiment.attacks.items() if row.targeted}
    if not cells or not len(clean):
        return None
    return build_gallery(experiment.dataset.family, rows, clean, before, cells, room, targeted=targeted)


def _clean_predictions(folder: Path, model: str, ids: np.ndarray) -> np.ndarray:
    """The top-5 classes (n,5) that a model predicts for clean images of these ids."""
    top: np.ndarray = predictions_file.read_clean(folder / "predictions/clean" / f"{model}.parquet")[1][ids]
    return top


def _cells(folder: Path, experiment: Experiment, shape: tuple[int, ...]) -> Iterator[CellImages]:
    """The cells that lie in `folder`, read one by one, since checking a cell reads the whole file.

    Raises:
        UserError: a cell or its predictions are of other images than the subset's.
    """
    for source in experiment.sources:
        for attack in experiment.attacks:
            path = folder / "adversarial" / source / f"{attack}.safetensors"
            if not path.exists():
                continue
            images = TensorFile(path)["images"]
            after = predictions_file.read_cell(folder / "predictions" / source / f"{attack}.parquet")[0]
            if images.shape != shape or {len(top) for top in after.values()} != {len(images)}:
                raise UserError(f"{path} is not of the subset's images; delete it and run `dvc repro`")
            first_predictions = {model: after[model][:IMAGES] for model in experiment.answering}
            yield CellImages(source, attack, np.asarray(images[:IMAGES]), first_predictions)


def build_gallery(
    family: str,
    rows: Sequence[Mapping[str, str]],
    clean: np.ndarray,
    before: Predictions,
    cells: Sequence[CellImages],
    room: int,
    *,
    targeted: Collection[str] = (),
) -> Gallery:
    """Build the gallery of the given clean images and cells.

    Args:
        family: The data set's family, whose classes the labels are.
        rows: Those of subset.csv: id, label, target_label, file.
        clean: (n,C,H,W) uint8.
        before: The targets' predictions for the clean images.
        cells: The adversarial images; at least one cell.
        room: For the pictures, in characters; the first image is shown in any case.
        targeted: Names of the attacks that aim at a label.
    """
    names = class_names(family)
    first = cells[0]
    clean_uri, adversarial_uri, perturbation_uri = _picture_uris(clean[0], first.images[0])
    room -= len(clean_uri) + len(adversarial_uri) + len(perturbation_uri)
    images: list[dict[str, Any]] = []
    classes: set[int] = set()
    for place, row in enumerate(rows):
        image = _image_data(place, row, clean[place], before, cells)
        room -= len(image["clean"]) + sum(len(cell["difference"]) for cell in image["cells"])
        if images and room < 0:
            break
        images.append(image)
        classes |= {image["label"], image["target_label"], *_flat(image["before"])}
        classes |= {label for cell in image["cells"] for label in _flat(cell["after"])}
    data = {
        "sources": list(dict.fromkeys(cell.source for cell in cells)),
        "attacks": list(dict.fromkeys(cell.attack for cell in cells)),
        "targeted": [name for name in dict.fromkeys(cell.attack for cell in cells) if name in targeted],
        "targets": list(before),
        "classes": {str(label): names[label] for label in sorted(classes)},
        "images": images,
    }
    first_image = images[0]
    marks = {first_image["target_label"]: AIM} if first.attack in targeted else {}
    marks[first_image["label"]] = TRUE

    def marked(top: Sequence[int]) -> list[tuple[str, str]]:
        return [(names[label], marks.get(label, "")) for label in top]

    return Gallery(
        data=data,
        image=f"{first_image['file']}: {names[first_image['label']]}",
        source=first.source,
        attack=first.attack,
        aim=names[first_image["target_label"]] if first.attack in targeted else "",
        clean=clean_uri,
        adversarial=adversarial_uri,
        perturbation=perturbation_uri,
        answers=[
            (target, marked(top), marked(after))
            for target, top, after in zip(before, first_image["before"], first_image["cells"][0]["after"], strict=True)
        ],
    )


def _picture_uris(clean: np.ndarray, adversarial: np.ndarray) -> tuple[str, str, str]:
    """A clean image, its adversarial image and the enlarged perturbation, as data URIs."""
    return webp_uri(clean), webp_uri(adversarial), webp_uri(enlarged(adversarial, clean, GAIN))


def _image_data(
    place: int, row: Mapping[str, str], clean: np.ndarray, before: Predictions, cells: Sequence[CellImages]
) -> dict[str, Any]:
    """The data of the image at `place`, for the page's script; row and clean are that image's."""
    return {
        "file": row["file"] or f"image {row['id']}",
        "label": int(row["label"]),
        "target_label": int(row["target_label"]),
        "clean": webp_base64(clean) if place else "",
        "before": [top[place].tolist() for top in before.values()],
        "cells": [
            {
                "source": cell.source,
                "attack": cell.attack,
                "difference": webp_base64(difference(cell.images[place], clean)),
                "after": [top[place].tolist() for top in cell.after.values()],
            }
            for cell in cells
        ],
    }


def _flat(tops: Sequence[Sequence[int]]) -> set[int]:
    """All classes that occur in lists of top-5 classes."""
    return {label for top in tops for label in top}
