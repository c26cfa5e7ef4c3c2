"""What a cell's metrics leave out: the size of its perturbations, and its takes and other denominators.

It stands in `metrics/<source>/<attack>.detail.json`; `detail` says what is in it.
"""

import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from crossfool import adversarial, answers
from crossfool.attacks.config import Attack
from crossfool.pipeline.evaluation import success
from crossfool.storage.tensors import TensorFile

BLOCK = 16  # images looked at at a time
Answers = Mapping[str, np.ndarray]  # target model -> its answers (N,5)
Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]  # of images from their clean ones, (N,)


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

    taken = {take: rates(answer(images)) for take, images in adversarial.takes(path, subset, row)}
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
        raw = adversarial.floats(path, subset, row)
        ways = {"float": answer(raw), "rounded": top, "truncated": answer(raw.astype(np.uint8))}
        each = {way: rates(some) for way, some in ways.items()}
        found["quantisation"] = {model: {way: each[way][model] for way in ways} for model in top}
    right = answers.right(clean)
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


def size(images: np.ndarray, originals: np.ndarray, lpips: Distance | None = None) -> dict[str, Any]:
    """How large perturbations are, of images (N,C,H,W) uint8, in pixel values.

    Args:
        images, originals: Adversarial and clean ones.
        lpips: The perceptual distance (`perceptual.Lpips`); None where it is not asked for.

    Returns:
        `n`; `l2`: mean over images of the L2 norm; `linf`: the largest change of a value; `mean_abs`: the mean one;
        `ssim`: mean structural similarity to the clean image (Wang et al. 2004: Gaussian window of 11 pixels, sigma
        1.5; 1 is the same image), `ssim_low`: its 5th percentile over images; `lpips`: mean perceptual distance (0 is
        the same image), `lpips_high`: its 95th percentile over images; both None where it is not asked for.
    """
    l2, ssim, total, most = [], [], 0.0, 0
    for start in range(0, len(images), BLOCK):
        part, clean = images[start : start + BLOCK], originals[start : start + BLOCK]
        difference = np.abs(part.astype(np.int64) - clean).reshape(len(part), -1)
        l2.append(np.sqrt((difference**2).sum(1)))
        total, most = total + float(difference.mean(1).sum()), max(most, int(difference.max(initial=0)))
        ssim.append(similarity(part, clean))
    alike = np.concatenate(ssim)
    apart = None if lpips is None else lpips(images, originals)
    return {
        "n": len(images),
        "l2": round(float(np.concatenate(l2).mean()), 4),
        "linf": most,
        "mean_abs": round(total / len(images), 4),
        "ssim": round(float(alike.mean()), 4),
        "ssim_low": round(float(np.percentile(alike, 5)), 4),
        "lpips": None if apart is None else round(float(apart.mean()), 4),
        "lpips_high": None if apart is None else round(float(np.percentile(apart, 95)), 4),
    }


def similarity(images: np.ndarray, originals: np.ndarray) -> np.ndarray:
    """Structural similarity of each image to its clean one, (N,), to four decimals: float32 is eight times faster."""
    from pytorch_msssim import ssim

    x, y = (
        torch.from_numpy(np.array(some)).float().contiguous(memory_format=torch.channels_last)
        for some in (images, originals)
    )
    found: np.ndarray = ssim(x, y, data_range=255, size_average=False).numpy()
    return found
