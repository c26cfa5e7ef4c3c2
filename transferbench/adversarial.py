"""Reading a cell's adversarial images, never trusting that they are what they claim."""

from pathlib import Path

import numpy as np

from transferbench.artefacts import TensorFile, sha256
from transferbench.errors import UserError
from transferbench.params import Attack


def read(path: Path, subset: Path, source: str, row: Attack) -> np.ndarray:
    """A cell's images (N,C,H,W) uint8, checked against the clean images and the params that they were made from.

    Args:
        path: The cell's file.
        subset: The clean images' file.
        source: The cell's source, as params.yaml names it.
        row: The cell's attack, as params.yaml has it.

    Raises:
        UserError: other shape, other subset, source or attack, or an image outside the attack's ball.
    """
    file, clean = TensorFile(path), TensorFile(subset)
    images, originals = file["images"], clean["images"]
    if images.dtype != np.uint8 or images.shape != originals.shape:
        raise UserError(f"{path}: images are {images.dtype} {images.shape}, expected uint8 {originals.shape}")
    if file.metadata.get("subset") != sha256(subset):
        raise UserError(f"{path} was made from another subset than {subset}; delete it and run `dvc repro`")
    for what, expected in (("source", source), ("params", row.model_dump_json(exclude_none=True))):
        if (found := file.metadata.get(what)) != expected:
            raise UserError(f"{path}: its {what} is {found}, expected {expected}; delete it and run `dvc repro`")
    for start in range(0, len(images), 256):
        part = slice(start, start + 256)
        distance = np.abs(images[part].astype(np.int16) - originals[part]).max(initial=0)
        if distance > row.epsilon:
            raise UserError(f"{path}: an image is {distance} from its clean one, more than its epsilon {row.epsilon:g}")
    return images
