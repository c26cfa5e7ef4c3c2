"""Evaluate a cell: predictions of all target models for its images, success rates, details and destruction rates."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from crossfool.attacks.config import Attack
from crossfool.models.inference.config import Compute
from crossfool.models.inference.precision import configure
from crossfool.pipeline.evaluation import (
    adversarial_file,
    detail_metrics,
    image_transforms,
    predictions_file,
    success,
    target_predictions,
)
from crossfool.pipeline.evaluation.compute_predictions import ImageSet
from crossfool.pipeline.evaluation.lpips import load_lpips
from crossfool.pipeline.evaluation.predict_order import PLAIN
from crossfool.pipeline.evaluation.target_predictions import Predictions
from crossfool.pipeline.evaluation.transform_levels import find_transform
from crossfool.runtime import choose_device
from crossfool.storage.json_files import write_json
from crossfool.storage.tensors import TensorFile

_SUBSET = Path("subset/images.safetensors")


def evaluate_cell(
    source: str,
    attack: str,
    row: Attack,
    *,
    targets: Mapping[str, str],
    lpips: bool,
    transforms: Mapping[str, Sequence[float]] | None,
    transform_hashes: Mapping[str, str],
    compute: Compute,
) -> None:
    """Evaluate a cell of the experiment in the current folder, and write its tables and metrics.

    Reads the cell's file, the subset, the targets' weights files and `data/lpips.safetensors`. Writes
    `predictions/<source>/<attack>.parquet`, and to `metrics/<source>/` `<attack>.json` and `<attack>.detail.json`; with
    transforms also `transformed/<source>/<attack>.parquet` and `<attack>.transform.json` among the metrics.

    Args:
        source: The cell's source, a model's name or names joined by +.
        attack: The attack's name.
        row: The attack's row of params.yaml.
        targets: Target model -> hash of its network and of the code that predicts, in the order of the tables.
        lpips: Whether params.yaml asks for LPIPS.
        transforms: Transform -> its levels; None where the cell's destruction rates are not wanted.
        transform_hashes: Transform -> hash of the code that transforms.
        compute: The section `compute` of params.yaml.

    Raises:
        UserError: a file is missing, damaged or misfits, or a logit is not finite.
    """
    path, metrics = Path("adversarial") / source / f"{attack}.safetensors", Path("metrics") / source
    images, ids = adversarial_file.read_adversarial(path, _SUBSET, source, row), TensorFile(_SUBSET)["index"].tolist()
    configure(compute.precision)  # LPIPS computes in it, whether or not this process loads a model
    distance = load_lpips(Path("data/lpips.safetensors"), choose_device(), asked=lpips)
    others = detail_metrics.other_images(path, _SUBSET, row)
    libraries = {name: find_transform(name).libraries for name in transforms or {}}
    sets: dict[detail_metrics.OtherImages, ImageSet] = {
        "images": ImageSet(images, ids, transforms or {}, image_transforms.apply, transform_hashes, libraries),
        **{key: ImageSet(other, ids) for key, other in others.items()},
    }
    found = target_predictions.predict_sets(
        {model: Path("weights") / f"{model}.safetensors" for model in targets},
        sets,
        compute=compute,
        fingerprints=targets,
        name=f"evaluate.{source}-{attack}",
    )
    top = _plain(found["images"])
    table = Path("predictions") / source / f"{attack}.parquet"
    predictions_file.write_cell(table, top, TensorFile(_SUBSET))
    stored, labels, target_labels = predictions_file.read_cell(table)
    rates = success.cell_metrics(stored, labels, target_labels if row.targeted else None, source)
    write_json(metrics / f"{attack}.json", rates)
    plain = {key: _plain(found[key]) for key in others}
    detail = detail_metrics.cell_details(path, _SUBSET, row, top, plain, distance)
    write_json(metrics / f"{attack}.detail.json", detail)
    if transforms is not None:
        table = Path("transformed") / source / f"{attack}.parquet"
        predictions_file.write_transformed(table, _transformed(found["images"]), TensorFile(_SUBSET))
        after = predictions_file.read_transformed(table, len(labels))
        right = predictions_file.right_by_model(TensorFile(_SUBSET))
        write_json(metrics / f"{attack}.transform.json", success.destruction_rates(stored, after, labels, right))


def _plain(predictions: Predictions) -> dict[str, np.ndarray]:
    """Predictions (N,5) of each target model for images as they are."""
    return {model: by_variation[PLAIN] for model, by_variation in predictions.items()}


def _transformed(predictions: Predictions) -> predictions_file.Transformed:
    """Predictions (N,5) by target model, transform and level."""
    return {
        (model, *variation): top
        for model, by_variation in predictions.items()
        for variation, top in by_variation.items()
        if variation != PLAIN
    }
