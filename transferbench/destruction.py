"""Destruction rates: which adversarial images still fool once the image is transformed (paper section 7.4)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from transferbench import stats, transforms
from transferbench.answers import Transformed
from transferbench.models import Pixels
from transferbench.predictions import top5


def transformed(
    images: np.ndarray,
    ids: Sequence[int],
    models: Mapping[str, Pixels],
    levels: Mapping[str, Sequence[float]],
    *,
    batch: int,
    device: torch.device,
) -> Transformed:
    """The targets' answers to adversarial images (N,C,H,W) uint8 after each transform at each of its levels."""
    grid = [(name, level) for name, some in levels.items() for level in some]
    parts: dict[tuple[str, str, float], list[np.ndarray]] = {
        (model, name, level): [] for model in models for name, level in grid
    }
    with tqdm(total=len(images) * len(grid), desc="transform", unit="image") as progress:
        for start in range(0, len(images), batch):
            adversarial = torch.from_numpy(np.array(images[start : start + batch]))
            for name, level in grid:
                changed = transforms.apply(name, level, adversarial, ids[start : start + batch]).numpy()
                for model, network in models.items():
                    parts[model, name, level].append(top5(network, changed, batch=batch, device=device))
                progress.update(len(changed))
    return {key: np.concatenate(answers) for key, answers in parts.items()}


def rates(
    before: Mapping[str, np.ndarray], after: Mapping[tuple[str, str, float], np.ndarray], labels: np.ndarray
) -> dict[str, dict[str, dict[str, Any]]]:
    """Target -> transform -> level -> destruction rate, from the answers before and after the transforms.

    The share, of the adversarial images that fool a target, that it gets right again once transformed
    (Kurakin et al. 2017, arXiv 1607.02533). Its clean images are all right by the choice of the subset.

    Args:
        before: Target model -> answers (N,5) to the adversarial images.
        after: Target model, transform, level -> first answers (N,).
        labels: (N,).
    """
    found: dict[str, dict[str, dict[str, Any]]] = {model: {} for model in before}
    for (model, transform, level), top1 in after.items():
        fooled = before[model][:, 0] != labels
        found[model].setdefault(transform, {})[f"{level:g}"] = stats.destruction(fooled, top1 == labels)
    return found
