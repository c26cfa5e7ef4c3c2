"""Perturbations of images as pixels that can be stored and shown."""

import numpy as np


def stacked_difference(adversarial: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """The perturbation of a clean image (C,H,W) uint8, modulo 256, with channels below one another: (1,C*H,W).

    A perturbation has few values, so that its PNG is a third of the adversarial image's.
    """
    stacked: np.ndarray = (adversarial - clean).reshape(1, -1, clean.shape[-1])
    return stacked


def enlarged(adversarial: np.ndarray, clean: np.ndarray, gain: float) -> np.ndarray:
    """The perturbation times `gain`, about a middle grey of 128, uint8."""
    pixels: np.ndarray = np.clip(np.rint(128 + gain * (adversarial.astype(float) - clean)), 0, 255).astype(np.uint8)
    return pixels
