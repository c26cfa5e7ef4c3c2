"""Perturbations of images as pixels that can be stored and shown."""

import numpy as np


def difference(adversarial: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """The perturbation of clean images uint8, modulo 256: the clean images plus it are the adversarial ones.

    A perturbation has few values, so that its file is a third of the adversarial image's.
    """
    changed: np.ndarray = adversarial - clean
    return changed


def enlarged(adversarial: np.ndarray, clean: np.ndarray, gain: float) -> np.ndarray:
    """The perturbation times `gain`, about a middle grey of 128, uint8."""
    pixels: np.ndarray = np.clip(np.rint(128 + gain * (adversarial.astype(float) - clean)), 0, 255).astype(np.uint8)
    return pixels
