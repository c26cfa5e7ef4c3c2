"""Draw the subset: images that all models classify correctly, or any, and a target label for each (paper section 4)."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from crossfool.datasets.preparation.config import Subset
from crossfool.errors import UserError
from crossfool.pipeline.evaluation.predictions_file import read_clean
from crossfool.storage.atomic import replacing
from crossfool.storage.clean_images import read_clean_images
from crossfool.storage.csv_files import read_csv
from crossfool.storage.tensors import TensorFile, tensor_writer

_BLOCK = 512  # images copied at a time


def select(models: tuple[str, ...], subset: Subset) -> str:
    """Draw the subset of the experiment in the current folder and write it to subset/.

    Args:
        models: The experiment's models.
        subset: How images and target labels are drawn.

    Returns:
        A warning; "" for none.

    Raises:
        UserError: fewer images are available than are asked for, or a file is missing or damaged.
    """
    right = correct_by_model(Path("predictions/clean"), models)
    ids = draw_ids(candidate_ids(right, subset), subset)
    images = read_clean_images("data/images.safetensors")
    right_by_model = dict(zip(models, right.T, strict=True)) if subset.of == "all" else None
    write_subset(ids, images, Path("data/images.csv"), subset, Path("subset"), right_by_model)
    return warning_none_right(right[ids])


def correct_by_model(folder: Path, models: tuple[str, ...]) -> np.ndarray:
    """Images of the data set that each model classifies correctly, (N,M) bool, from the tables of clean predictions.

    Raises:
        UserError: a table is missing.
    """
    right = []
    for model in models:
        labels, predictions = read_clean(folder / f"{model}.parquet")
        right.append(predictions[:, 0] == labels)
    return np.stack(right, 1)


def candidate_ids(right: np.ndarray, subset: Subset) -> np.ndarray:
    """Ids of the images to draw from: those on which all models are right, by `right` (N,M) bool; or all."""
    return np.flatnonzero(right.all(1)) if subset.of == "correct" else np.arange(len(right))


def draw_ids(available: np.ndarray, subset: Subset) -> np.ndarray:
    """Draw the ids to attack, sorted; a larger subset of the same seed holds the smaller one.

    One permutation gives both sets: scored images from its start, tuning images from its end. So no image passes from
    one to the other whatever their numbers are, and neither set depends on the number of the other's images.

    Raises:
        UserError: fewer images are available than `subset` asks for, or none.
    """
    _refuse_too_few(len(available), subset)
    tuning = subset.tuning or 0
    if subset.images == "all" and not tuning:
        return available
    drawn = np.random.default_rng(subset.seed).permutation(available)
    scored = len(drawn) - tuning if subset.images == "all" else subset.images
    return np.sort(drawn[len(drawn) - tuning :] if subset.uses_tuning else drawn[:scored])


def _refuse_too_few(available: int, subset: Subset) -> None:
    """Refuse a subset of more scored and tuning images together than there are, whichever of them are attacked.

    Args:
        available: The number of images to draw from.
        subset: How many are asked for.

    Raises:
        UserError: there are too few.
    """
    if not available:
        raise UserError(
            "no image is classified correctly by all models; look at metrics/clean, and take out a model, or set "
            "subset: {of: all} to attack images that models get wrong, too"
        )
    tuning, every = subset.tuning or 0, subset.images == "all"
    asked = tuning + (1 if subset.images == "all" else subset.images)  # `all` leaves at least one to be scored
    if asked <= available:
        return
    there = f"the data set has {available}" if subset.of == "all" else f"all models classify only {available} correctly"
    if tuning:
        total = "" if every else f", {asked} together"
        raise UserError(
            f"subset: images: {subset.images} and tuning: {tuning} asked{total}, but {there}; "
            f"ask for {available - every} at most{' as tuning' if every else ' together'}"
        )
    raise UserError(f"subset: images: {subset.images} asked, but {there}; ask for {available} at most, or all")


def warning_none_right(right: np.ndarray) -> str:
    """Warning for drawn images of which none is right under all models, by `right` (n,M) bool; "" for others."""
    if right.all(1).any():
        return ""
    return (
        f"no image is right under all models ({len(right)} drawn, {int(right.any(1).sum())} of them right under one at "
        "least): success rates are of all attacked images, and the report has no ranks, paired tests and claims"
    )


def draw_target_labels(ids: np.ndarray, labels: np.ndarray, classes: int, subset: Subset) -> np.ndarray:
    """Wrong labels (n,), one for each image, drawn from (seed, id) alone and so the same in every subset.

    Args:
        ids: The images' ids, (n,).
        labels: The images' true labels, (n,).
        classes: How many there are.
        subset: How targets are drawn; `next` takes the class after the label.
    """
    if subset.targets == "next":
        return (labels + 1) % classes
    shifts = [np.random.default_rng((subset.seed, int(image))).integers(1, classes) for image in ids]
    return (labels + np.array(shifts, np.int64).reshape(labels.shape)) % classes


def write_subset(
    ids: np.ndarray,
    images: TensorFile,
    table: Path,
    subset: Subset,
    out: Path,
    right: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write the drawn images to `images.safetensors` and `subset.csv` in the folder `out`.

    Args:
        ids: Ids of the drawn images, (n,).
        images: The data set's images and labels, and its target labels where `subset` takes the given ones.
        table: The data set's CSV file of `id,label,file`.
        subset: How targets are drawn.
        out: Folder.
        right: Model -> which images of the data set it classifies correctly, (N,) bool; None where all do.

    Raises:
        UserError: the table is damaged, or lists other images.
    """
    labels = np.asarray(images["labels"])[ids]
    text = images.metadata_text("classes")
    classes = int(text) if text.isdecimal() and len(text) < 5 else 0
    if classes <= images["labels"].max(initial=1):
        raise UserError(f"{images.path}: its labels are not of {text[:20]!r} classes; delete it and run `dvc repro`")
    if subset.targets == "given":
        targets = np.asarray(images["target_labels"])[ids]
    else:
        targets = draw_target_labels(ids, labels, classes, subset)
    pixels = images["images"]
    listed = read_csv(table, {"id": int, "label": int, "file": str})
    if [(int(row["id"]), int(row["label"])) for row in listed] != list(enumerate(images["labels"].tolist())):
        raise UserError(f"{table} is not of the images in {images.path}; delete it and run `dvc repro`")
    shapes = {
        "images": ("uint8", (len(ids), *pixels.shape[1:])),
        **{name: ("int64", (len(ids),)) for name in ("labels", "target_labels", "index")},
    }
    metadata = {name: images.metadata_text(name) for name in ("dataset", "family", "classes")}
    if subset.uses_tuning:
        metadata["use"] = "tuning"  # of scored images there is no mark: their file is the same with tuning and without
    if right is not None:
        shapes["right"], metadata["models"] = ("uint8", (len(ids), len(right))), ",".join(right)
    with tensor_writer(out / "images.safetensors", shapes, metadata) as writer:
        for start in range(0, len(ids), _BLOCK):
            writer.append("images", pixels[ids[start : start + _BLOCK]])
        writer.append("labels", labels)
        writer.append("target_labels", targets)
        writer.append("index", ids.astype(np.int64))
        if right is not None:
            writer.append("right", np.stack([correct[ids] for correct in right.values()], 1).astype(np.uint8))
    with replacing(out / "subset.csv") as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["id", "label", "target_label", "file"])
        rows.writerows(zip(ids, labels, targets, (listed[image]["file"] for image in ids), strict=True))
