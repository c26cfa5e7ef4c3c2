"""What a cell's metrics leave out: the size of its perturbations, and its takes and other denominators.

It stands in `metrics/<source>/<attack>.detail.json`; `detail` says what is in it.
"""

import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from crossfool.attacks.config import Attack
from crossfool.pipeline.evaluation import adversarial_file, predictions_file, success
from crossfool.pipeline.evaluation.perturbation import Distance, size
from crossfool.storage.tensors import TensorFile

Answers = Mapping[str, np.ndarray]  # target model -> its answers (N,5)


def detail(
    path: Path,
    subset: Path,
    source: str,
    row: Attack,
    top: Answers,
    answer: Callable[[np.ndarray], Answers],
    lpips: Distance | None = None,
) -> dict[str, Any]:
    """The content of a cell's detail file.

    Args:
        path, subset: The cell's file, which `adversarial.read` has checked, and the clean images'.
        source, row: What it is of.
        top: The targets' answers to its images.
        answer: The targets' answers to others, (N,C,H,W) uint8 or float32.
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

    def rates(some: Answers, counted: np.ndarray | None = None) -> dict[str, dict[str, Any] | None]:
        """Target -> rates, over all images or some, (N,) bool."""
        return {model: _rates(one, clean, source, row, counted) for model, one in some.items()}

    taken = {take: rates(answer(images)) for take, images in adversarial_file.takes(path, subset, row)}
    taken[row.first_seed, row.steps] = rates(top)
    images = TensorFile(path)["images"]
    found: dict[str, Any] = {"gradients": row.gradients, "size": size(images, clean["images"], lpips)}
    found |= {"steps": {}, "seeds": {}, "quantisation": {}, "denominators": {}}
    if row.record_steps:
        found["steps"] = {
            model: {
                str(step): {"gradients": step * row.copies, **(taken[row.first_seed, step][model] or {})}
                for step in (*row.record_steps, row.steps)
            }
            for model in top
        }
    if row.seeds:
        found["seeds"] = {
            model: _spread({seed: taken[seed, row.steps][model] or {} for seed in row.seeds}) for model in top
        }
    if row.quantisation:
        raw = adversarial_file.floats(path, subset, row)
        ways = {"float": answer(raw), "rounded": top, "truncated": answer(raw.astype(np.uint8))}
        each = {way: rates(some) for way, some in ways.items()}
        found["quantisation"] = {model: {way: each[way][model] for way in ways} for model in top}
    right = predictions_file.right(clean)
    if right is not None:
        every = np.logical_and.reduce(list(right.values()))
        found["denominators"] = {
            model: {
                "all": rates({model: one})[model],
                "target_right": rates({model: one}, right[model])[model],
                "all_right": rates({model: one}, every)[model],
                "clean_error": round(100 * float(1 - right[model].mean()), 4),
            }
            for model, one in top.items()
        }
    return found


def _rates(
    top: np.ndarray, clean: TensorFile, source: str, row: Attack, counted: np.ndarray | None
) -> dict[str, Any] | None:
    """One target's rates over the counted images; None where there are none."""
    some = np.ones(len(top), bool) if counted is None else counted
    if not some.any():
        return None
    targets = clean["target_labels"][some] if row.targeted else None
    rates: dict[str, Any] = success.cell_metrics({"": top[some]}, clean["labels"][some], targets, source)[""]
    del rates["whitebox"]
    return rates


def _spread(by_seed: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {"rates": {str(seed): rates for seed, rates in by_seed.items()}}
    for top in ("top1", "top5"):
        values = [rates[top] for rates in by_seed.values()]
        found |= {f"{top}_mean": round(statistics.mean(values), 4)}
        found |= {f"{top}_deviation": round(statistics.stdev(values), 4)}
    return found
