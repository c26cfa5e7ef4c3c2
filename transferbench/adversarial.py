"""Reading a cell's adversarial images, never trusting that they are what they claim."""

from pathlib import Path

import numpy as np

from transferbench.artefacts import TensorFile, sha256
from transferbench.errors import UserError


def read(path: Path, subset: Path) -> tuple[np.ndarray, dict[str, str]]:
    """A cell's images (N,C,H,W) uint8 and metadata, checked against the clean images they were made from.

    Raises:
        UserError: other shape, other subset, or an image outside the ball that the metadata claims.
    """
    file, clean = TensorFile(path), TensorFile(subset)
    images, originals = file["images"], clean["images"]
    if images.dtype != np.uint8 or images.shape != originals.shape:
        raise UserError(f"{path}: images are {images.dtype} {images.shape}, expected uint8 {originals.shape}")
    if file.metadata.get("subset") != sha256(subset):
        raise UserError(f"{path} was made from another subset than {subset}; delete it and run `dvc repro`")
    epsilon = float(file.metadata["epsilon"])
    for start in range(0, len(images), 256):
        part = slice(start, start + 256)
        distance = np.abs(images[part].astype(np.int16) - originals[part]).max(initial=0)
        if distance > epsilon:
            raise UserError(f"{path}: an image is {distance} from its clean one, more than its epsilon {epsilon:g}")
    return images, file.metadata
