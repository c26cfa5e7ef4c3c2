"""Detailed metrics of a cell: perturbation size, rates of snapshots, rounding, and rates over other images.

They are written to `metrics/<source>/<attack>.detail.json`; `cell_details` documents the keys.
"""

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from crossfool.attacks.config import Attack
from crossfool.pipeline.evaluation import adversarial_file, predictions_file, success
from crossfool.pipeline.evaluation.perturbation import Distance, perturbation_size
from crossfool.storage.tensors import TensorFile

OtherImages = tuple[int, int] | str  # (seed, step) of a snapshot; float, truncated: images before they were rounded
_Predictions = Mapping[str, np.ndarray]  # target model -> its predictions (N,5)


def other_images(path: Path, subset: Path, row: Attack) -> dict[OtherImages, np.ndarray]:
    """Read and check the images whose predictions the details need beside those of the cell's images.

    Args:
        path: As for `cell_details`.
        subset: As for `cell_details`.
        row: As for `cell_details`.

    Returns:
        Snapshots (N,C,H,W) uint8 by (seed, step); where the row keeps them, `float`: images before they were rounded,
        float32, and `truncated`: these cut to uint8.
    """
    images: dict[OtherImages, np.ndarray] = dict(adversarial_file.read_snapshots(path, subset, row))
    if row.quantisation:
        floats = adversarial_file.read_floats(path, subset, row)
        images |= {"float": floats, "truncated": floats.astype(np.uint8)}
    return images


def cell_details(
    path: Path,
    subset: Path,
    row: Attack,
    top: _Predictions,
    others: Mapping[OtherImages, _Predictions],
    lpips: Distance | None = None,
) -> dict[str, Any]:
    """Compute the content of a cell's detail file.

    Args:
        path: The cell's file, which `adversarial_file.read_adversarial` has checked.
        subset: The clean images' file.
        row: The cell's attack.
        top: The target models' predictions (N,5) for the cell's images.
        others: The target models' predictions (N,5) for each of `other_images`.
        lpips: As for `size`.

    Returns:
        `gradients`: evaluations an image and model. `size`: see `size`.
        `steps`: target -> step -> gradients and rates, the last step's too; empty without `record_steps`.
        `seeds`: target -> rates (seed -> rates), and mean and sample deviation over the seeds; empty without `seeds`.
        `quantisation`: target -> float, rounded, truncated -> rates; empty without `quantisation`.
        `denominators`: target -> all, target_right, all_right -> rates (null over no images), and clean_error;
        empty where all models are right on every image of the subset.
    """
    clean = TensorFile(subset)
    targets = clean["target_labels"] if row.targeted else None

    def rates(predictions: _Predictions, counted: np.ndarray | None = None) -> dict[str, dict[str, Any] | None]:
        """Target -> rates, over all images or those of `counted`, (N,) bool."""
        return {
            model: success.counted_rates(classes, clean["labels"], targets, counted)
            for model, classes in predictions.items()
        }

    snapshots = {seed_and_step: rates(others[seed_and_step]) for seed_and_step in row.snapshots}
    snapshots[row.first_seed, row.steps] = rates(top)
    images = TensorFile(path)["images"]
    details: dict[str, Any] = {
        "gradients": row.gradient_evaluations_per_seed,
        "size": perturbation_size(images, clean["images"], lpips),
    }
    details |= {"steps": {}, "seeds": {}, "quantisation": {}, "denominators": {}}
    if row.record_steps:
        details["steps"] = {
            model: {
                str(step): {
                    "gradients": step * row.gradient_evaluations_per_step,
                    **(snapshots[row.first_seed, step][model] or {}),
                }
                for step in (*row.record_steps, row.steps)
            }
            for model in top
        }
    if row.seeds:
        details["seeds"] = {
            model: _spread({seed: snapshots[seed, row.steps][model] or {} for seed in row.seeds}) for model in top
        }
    if row.quantisation:
        predicted = {"float": others["float"], "rounded": top, "truncated": others["truncated"]}
        by_rounding = {rounding: rates(predictions) for rounding, predictions in predicted.items()}
        details["quantisation"] = {
            model: {rounding: by_rounding[rounding][model] for rounding in predicted} for model in top
        }
    right = predictions_file.right_by_model(clean)
    if right is not None:
        all_right = np.logical_and.reduce(list(right.values()))
        details["denominators"] = {
            model: {
                "all": rates({model: predictions})[model],
                "target_right": rates({model: predictions}, right[model])[model],
                "all_right": rates({model: predictions}, all_right)[model],
                "clean_error": round(100 * float(1 - right[model].mean()), 4),
            }
            for model, predictions in top.items()
        }
    return details


def _spread(by_seed: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """Rates of each seed, and their mean and sample deviation."""
    spread: dict[str, Any] = {"rates": {str(seed): rates for seed, rates in by_seed.items()}}
    for top in ("top1", "top5"):
        values = [rates[top] for rates in by_seed.values()]
        spread |= {f"{top}_mean": round(statistics.mean(values), 4)}
        spread |= {f"{top}_deviation": round(statistics.stdev(values), 4)}
    return spread
