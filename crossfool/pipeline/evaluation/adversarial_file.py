"""Read a cell's adversarial images, and check that they are what the file's metadata claims."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from crossfool.attacks.config import Attack
from crossfool.errors import UserError, brief
from crossfool.storage.clean_images import read_clean_images
from crossfool.storage.hashing import sha256
from crossfool.storage.tensors import TensorFile

_BLOCK = 256  # images checked at a time
_ROUNDING = 1e-3  # greatest rounding error of float32, in pixel values; in L2, of a length, relative


def read_adversarial(path: Path, subset: Path, source: str, row: Attack) -> np.ndarray:
    """Read a cell's images (N,C,H,W) uint8, checked against the clean images and the parameters they are made from.

    Args:
        path: The cell's file.
        subset: The clean images' file.
        source: The cell's source, as params.yaml names it.
        row: The cell's attack, as params.yaml has it.

    Raises:
        UserError: the shape, subset, source or attack is another, or an image lies outside the attack's ball.
    """
    file, originals = TensorFile(path), read_clean_images(subset)["images"]
    images = _shaped(file, "images", np.uint8, originals.shape)
    if file.metadata.get("subset") != sha256(subset):
        raise UserError(f"{path} was made from another subset than {subset}; delete it and run `dvc repro`")
    for key, expected in (("source", source), ("params", row.model_dump_json(exclude_none=True))):
        if (value := file.metadata.get(key)) != expected:
            raise UserError(
                f"{path}: its {key} is {brief(value, 400)}, expected {expected}; delete it and run `dvc repro`"
            )
    _refuse_outside(path, images, originals, row.epsilon, row.norm)
    return images


def read_snapshots(path: Path, subset: Path, row: Attack) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """Yield (seed, step) and images (N,C,H,W) uint8 of a cell's snapshots.

    `read_adversarial` has to check the rest of the file.

    Args:
        path: As for `read_adversarial`.
        subset: As for `read_adversarial`.
        row: As for `read_adversarial`.

    Raises:
        UserError: the shape is another, or an image lies outside the attack's ball.
    """
    originals = TensorFile(subset)["images"]
    if not row.snapshots:
        return
    count, *shape = originals.shape
    snapshots = _shaped(TensorFile(path), "takes", np.uint8, (count, len(row.snapshots), *shape))
    for place, seed_and_step in enumerate(row.snapshots):
        _refuse_outside(path, snapshots[:, place], originals, row.epsilon, row.norm)
        yield seed_and_step, snapshots[:, place]


def read_floats(path: Path, subset: Path, row: Attack) -> np.ndarray:
    """Read a cell's images before they were rounded, (N,C,H,W) float32.

    Args:
        path: As for `read_adversarial`.
        subset: As for `read_adversarial`.
        row: As for `read_adversarial`.

    Raises:
        UserError: the shape is another, an image lies outside the attack's ball, or `images` are not these, rounded.
    """
    originals = TensorFile(subset)["images"]
    file = TensorFile(path)
    images = _shaped(file, "floats", np.float32, originals.shape)
    if row.norm == "l2":
        _refuse_outside(path, images, originals, row.epsilon * (1 + _ROUNDING), row.norm)
        _refuse_unlike(path, images, file["images"], originals)
        return images
    _refuse_outside(path, images, originals, row.epsilon + _ROUNDING, row.norm)
    _refuse_otherwise_rounded(path, images, file["images"], originals, int(row.epsilon))
    return images


def _shaped(file: TensorFile, name: str, kind: type, shape: tuple[int, ...]) -> np.ndarray:
    """Read a tensor whose dtype and shape must be these."""
    array = file[name]
    if array.dtype != kind or array.shape != shape:
        expected = f"{np.dtype(kind)} {shape}"
        raise UserError(f"{file.path}: {name} are {array.dtype} {array.shape}, expected {expected}")
    return array


def _refuse_otherwise_rounded(
    path: Path, floats: np.ndarray, images: np.ndarray, originals: np.ndarray, epsilon: int
) -> None:
    """Refuse images that are not their floats as `projection.quantise` rounds them."""
    for start in range(0, len(images), _BLOCK):
        part = slice(start, start + _BLOCK)
        clean = originals[part].astype(np.float32)
        ends = np.maximum(clean - epsilon, 0), np.minimum(clean + epsilon, 255)
        if not np.array_equal(np.clip(np.rint(floats[part]), *ends), images[part]):
            raise UserError(f"{path}: images are not its floats, rounded; delete it and run `dvc repro`")


def _refuse_unlike(path: Path, floats: np.ndarray, images: np.ndarray, originals: np.ndarray) -> None:
    """Refuse images whose values are not their floats rounded, or one nearer to the clean image, as in L2 balls."""
    for start in range(0, len(images), _BLOCK):
        part = slice(start, start + _BLOCK)
        clean, rounded = originals[part].astype(np.float32), np.rint(floats[part])
        nearer = rounded + np.sign(clean - rounded)
        if not ((images[part] == rounded) | (images[part] == nearer)).all():
            raise UserError(f"{path}: images are not its floats, rounded; delete it and run `dvc repro`")


def _refuse_outside(
    path: Path, images: np.ndarray, originals: np.ndarray, epsilon: float, norm: str | None = None
) -> None:
    """Refuse images outside the attack's ball, outside 0..255, or with values that are not numbers."""
    kind = np.int16 if images.dtype == np.uint8 else np.float32
    for start in range(0, len(images), _BLOCK):
        part = images[start : start + _BLOCK].astype(kind)
        change = part - originals[start : start + _BLOCK]
        if norm == "l2":  # uint8 images exactly: squares of whole numbers
            distance = np.sqrt(np.square(change, dtype=np.float64).sum((1, 2, 3)).max(initial=0))
        else:
            distance = np.abs(change).max(initial=0)
        if not distance <= epsilon:
            raise UserError(f"{path}: an image is {distance} from its clean one, more than its epsilon {epsilon:g}")
        if not (part.min(initial=0) >= 0 and part.max(initial=0) <= 255):
            raise UserError(f"{path}: an image has values outside 0 to 255")
