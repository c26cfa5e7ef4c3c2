"""Measure perturbations: L-inf and L2 norms, structural similarity and LPIPS distance to the clean image."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

_BLOCK = 16  # images measured at a time
Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]  # images, clean images -> distance of each, (N,)


def perturbation_size(images: np.ndarray, originals: np.ndarray, lpips: Distance | None = None) -> dict[str, Any]:
    """Measure the perturbations of images, in pixel values.

    Args:
        images: Adversarial images, (N,C,H,W) uint8.
        originals: Clean images, (N,C,H,W) uint8.
        lpips: The perceptual distance (`lpips.Lpips`); None where params.yaml does not ask for it.

    Returns:
        `n`; `l2`: mean over images of the L2 norm; `linf`: the largest change of a value; `mean_abs`: the mean one;
        `ssim`: mean structural similarity to the clean image (Wang et al. 2004: Gaussian window of 11 pixels, sigma
        1.5; 1 is the same image), `ssim_low`: its 5th percentile over images; `lpips`: mean perceptual distance (0 is
        the same image), `lpips_high`: its 95th percentile over images; both None where it is not asked for.
    """
    l2, ssim, total, greatest = [], [], 0.0, 0
    for start in range(0, len(images), _BLOCK):
        part, clean = images[start : start + _BLOCK], originals[start : start + _BLOCK]
        difference = np.abs(part.astype(np.int64) - clean).reshape(len(part), -1)
        l2.append(np.sqrt((difference**2).sum(1)))
        total, greatest = total + float(difference.mean(1).sum()), max(greatest, int(difference.max(initial=0)))
        ssim.append(structural_similarity(part, clean))
    similarities = np.concatenate(ssim)
    distances = None if lpips is None else lpips(images, originals)
    return {
        "n": len(images),
        "l2": round(float(np.concatenate(l2).mean()), 4),
        "linf": greatest,
        "mean_abs": round(total / len(images), 4),
        "ssim": round(float(similarities.mean()), 4),
        "ssim_low": round(float(np.percentile(similarities, 5)), 4),
        "lpips": None if distances is None else round(float(distances.mean()), 4),
        "lpips_high": None if distances is None else round(float(np.percentile(distances, 95)), 4),
    }


def structural_similarity(images: np.ndarray, originals: np.ndarray) -> np.ndarray:
    """Structural similarity of each image to its clean one, (N,); both (N,C,H,W) uint8.

    Computed in float32, which is eight times faster than float64 and right to four decimals.
    """
    from pytorch_msssim import ssim

    x, y = (
        torch.from_numpy(np.array(batch)).float().contiguous(memory_format=torch.channels_last)
        for batch in (images, originals)
    )
    similarities: np.ndarray = ssim(x, y, data_range=255, size_average=False).numpy()
    return similarities
