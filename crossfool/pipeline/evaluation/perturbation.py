"""Size of a perturbation: L-inf and L2 norms, and structural similarity to the clean image."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

BLOCK = 16  # images looked at at a time
Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]  # of images from their clean ones, (N,)


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
