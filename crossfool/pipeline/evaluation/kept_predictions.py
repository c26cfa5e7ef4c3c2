"""Keep predictions in an experiment's folder, so that images are predicted once by each model.

A file holds a model's predictions for a set of images, a tensor a variation. Files are checked when read, bounded in
size and safe to delete: one that is damaged or misfits is as good as missing, and nothing fails for want of one.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from crossfool.errors import UserError
from crossfool.models.inference.config import Compute
from crossfool.storage.tensors import TensorFile, write_tensors

FOLDER = Path(".crossfool/predictions")  # in an experiment's folder
BOUND = 2 << 30  # bytes of all files
_BLOCK = 256  # images hashed at a time


def images_digest(images: np.ndarray, ids: Sequence[int]) -> str:
    """Sha256 of images (N,C,H,W), with their shape, dtype and ids (N,)."""
    digest = hashlib.sha256(json.dumps([images.dtype.name, images.shape, np.asarray(ids).tolist()]).encode())
    for start in range(0, len(images), _BLOCK):
        digest.update(np.ascontiguousarray(images[start : start + _BLOCK]).data.cast("B"))
    return digest.hexdigest()


def prediction_key(
    images: str, weights: str, *, fingerprint: str, compute: Compute, kind: str, libraries: Mapping[str, str]
) -> str:
    """Sha256 of all that predictions depend on but their variation.

    Args:
        images: The images' digest, see `images_digest`.
        weights: Sha256 of the model's weights file.
        fingerprint: Stands for the code that predicts and for the network.
        compute: The section `compute` of params.yaml.
        kind: Device type, cpu or cuda.
        libraries: Versions of libraries that compute.
    """
    parts = [images, weights, fingerprint, compute.model_dump(mode="json"), kind, dict(libraries)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class KeptPredictions:
    """Kept predictions in a folder.

    Args:
        folder: The folder, made when something is kept.
        bound: Bytes that all files may have together; the least recently used are deleted beyond.
    """

    def __init__(self, folder: Path = FOLDER, bound: int = BOUND) -> None:
        self._folder, self._bound = folder, bound

    def read(self, key: str, count: int) -> dict[str, np.ndarray]:
        """Read what is kept under a key: variation's name -> predictions (`count`,5) int64; often nothing."""
        path = self._path(key)
        if not path.is_file():
            return {}
        try:
            file = TensorFile(path)
            tensors = {name: file[name] for name in file.names()}
        except (UserError, OSError):
            return {}
        fits = all(packed.dtype == np.uint8 and packed.shape == (count, 5, 2) for packed in tensors.values())
        if file.metadata.get("key") != key or not fits:
            return {}
        with contextlib.suppress(OSError):
            os.utime(path)
        return {name: np.array(packed).view("<u2")[..., 0].astype(np.int64) for name, packed in tensors.items()}

    def add(self, key: str, predictions: Mapping[str, np.ndarray]) -> None:
        """Keep predictions (N,5) by variation, beside those that are kept under the key already.

        Of two processes that add to a key at once, one may undo what the other adds: it is then computed again.
        """
        count = len(next(iter(predictions.values())))
        together = {**self.read(key, count), **predictions}
        if any(top.size and top.max() >= 1 << 16 for top in together.values()):
            return  # no data set has so many classes; two bytes each keep a large experiment within the bound
        packed = {
            name: np.ascontiguousarray(top, "<u2").view(np.uint8).reshape(-1, 5, 2) for name, top in together.items()
        }
        with contextlib.suppress(OSError):
            write_tensors(self._path(key), packed, {"key": key})

    def prune(self) -> None:
        """Delete the files that were used least recently, until the others are within the bound."""
        total = 0
        for _, size, path in sorted(self._files(), reverse=True):
            total += size
            if total > self._bound:
                with contextlib.suppress(OSError):
                    path.unlink()

    def _files(self) -> Iterator[tuple[int, int, Path]]:
        """Time of last use in ns, size in bytes and path of each file, temporary ones of killed processes too."""
        with contextlib.suppress(OSError):
            for entry in os.scandir(self._folder):
                with contextlib.suppress(OSError):  # another process deletes, too
                    status = entry.stat()
                    yield status.st_mtime_ns, status.st_size, Path(entry.path)

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.safetensors"
