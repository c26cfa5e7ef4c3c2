"""Variation of gradients from pixel to pixel, of the analyses in `saliency`. Imports no torch."""

from pathlib import Path

import numpy as np

from crossfool.errors import UserError
from crossfool.pipeline.gradient_analysis.config import Saliency
from crossfool.storage.tensors import TensorFile


def saliency_path(folder: Path, name: str) -> Path:
    """The file of an analysis of saliency in an experiment's folder."""
    return folder / "analysis/saliency" / f"{name}.safetensors"


def read_variation(folder: Path, name: str, row: Saliency) -> tuple[tuple[int, ...], np.ndarray]:
    """Read an analysis of saliency: values of m, 0 for the plain gradient, and `relative_variation` (images, values).

    Raises:
        UserError: the file is missing, damaged or of other images or samples.
    """
    path, samples = saliency_path(folder, name), (0, *row.samples)
    gradients = np.asarray(TensorFile(path)["gradients"], float)
    if gradients.shape[:2] != (len(row.images), len(samples)):
        raise UserError(
            f"{path} does not match params.yaml: expected {len(row.images)} images with m = "
            f"{', '.join(map(str, samples))}, found {gradients.shape[0]} with {gradients.shape[1]} values; "
            "run `dvc repro`"
        )
    return samples, relative_variation(gradients)


def relative_variation(gradients: np.ndarray) -> np.ndarray:
    """Total variation of gradients (..., C, H, W) divided by their L1 norm, (...); 0 where a gradient is all zeros.

    The total variation is the sum of the absolute differences of neighbours in a row and in a column (Rudin, Osher and
    Fatemi 1992, anisotropic), within each channel. The norm makes it the same for any multiple of the gradient.
    """
    axes = (-3, -2, -1)
    total: np.ndarray = np.abs(np.diff(gradients, axis=-1)).sum(axes) + np.abs(np.diff(gradients, axis=-2)).sum(axes)
    norm = np.abs(gradients).sum(axes)
    return np.asarray(np.divide(total, norm, out=np.zeros_like(norm), where=norm > 0))
