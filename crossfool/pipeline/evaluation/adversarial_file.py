"""Reading a cell's adversarial images, never trusting that they are what they claim."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from crossfool.attacks.config import Attack
from crossfool.errors import UserError
from crossfool.storage.clean_images import read_clean_images
from crossfool.storage.hashing import sha256
from crossfool.storage.tensors import TensorFile

BLOCK = 256  # images looked at at a time
ROUNDING = 1e-3  # of float32, in pixel values


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
    file, originals = TensorFile(path), read_clean_images(subset)["images"]
    images = _shaped(file, "images", np.uint8, originals.shape)
    if file.metadata.get("subset") != sha256(subset):
        raise UserError(f"{path} was made from another subset than {subset}; delete it and run `dvc repro`")
    for what, expected in (("source", source), ("params", row.model_dump_json(exclude_none=True))):
        if (found := file.metadata.get(what)) != expected:
            found = " ".join(str(found).split())[:400]
            raise UserError(f"{path}: its {what} is {found}, expected {expected}; delete it and run `dvc repro`")
    _within(path, images, originals, row.epsilon)
    return images


def takes(path: Path, subset: Path, row: Attack) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """(Seed, step) and images (N,C,H,W) uint8 of a cell's takes, once `read` has checked the rest of its file.

    Raises:
        UserError: other shape, or an image outside the attack's ball.
    """
    originals = TensorFile(subset)["images"]
    if not row.takes:
        return
    count, *shape = originals.shape
    found = _shaped(TensorFile(path), "takes", np.uint8, (count, len(row.takes), *shape))
    for place, take in enumerate(row.takes):
        _within(path, found[:, place], originals, row.epsilon)
        yield take, found[:, place]


def floats(path: Path, subset: Path, row: Attack) -> np.ndarray:
    """A cell's images (N,C,H,W) before they were rounded, float32, checked likewise."""
    originals = TensorFile(subset)["images"]
    file = TensorFile(path)
    found = _shaped(file, "floats", np.float32, originals.shape)
    _within(path, found, originals, row.epsilon + ROUNDING)
    _rounds_to(path, found, file["images"], originals, int(row.epsilon))
    return found


def _shaped(file: TensorFile, name: str, kind: type, shape: tuple[int, ...]) -> np.ndarray:
    found = file[name]
    if found.dtype != kind or found.shape != shape:
        expected = f"{np.dtype(kind)} {shape}"
        raise UserError(f"{file.path}: {name} are {found.dtype} {found.shape}, expected {expected}")
    return found


def _rounds_to(path: Path, floats: np.ndarray, images: np.ndarray, originals: np.ndarray, epsilon: int) -> None:
    """Refuse images that are not what `attack.quantise` makes of their floats."""
    for start in range(0, len(images), BLOCK):
        some = slice(start, start + BLOCK)
        clean = originals[some].astype(np.float32)
        ends = np.maximum(clean - epsilon, 0), np.minimum(clean + epsilon, 255)
        if not np.array_equal(np.clip(np.rint(floats[some]), *ends), images[some]):
            raise UserError(f"{path}: images are not its floats, rounded; delete it and run `dvc repro`")


def _within(path: Path, images: np.ndarray, originals: np.ndarray, epsilon: float) -> None:
    """Refuse images outside the ball, or of no number; and floats outside 0..255."""
    kind = np.int16 if images.dtype == np.uint8 else np.float32
    for start in range(0, len(images), BLOCK):
        part = images[start : start + BLOCK].astype(kind)
        distance = np.abs(part - originals[start : start + BLOCK]).max(initial=0)
        if not distance <= epsilon:
            raise UserError(f"{path}: an image is {distance} from its clean one, more than its epsilon {epsilon:g}")
        if not (part.min(initial=0) >= 0 and part.max(initial=0) <= 255):
            raise UserError(f"{path}: an image has values outside 0 to 255")
