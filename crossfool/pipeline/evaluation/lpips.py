"""LPIPS: how different two images look to people, by AlexNet's features (arXiv 1801.03924, version 0.1).

Both images' features after each of AlexNet's five ReLUs are brought to unit length at each place; their squared
differences are weighted by how much each channel matters to people, summed over channels and averaged over places; the
distance is the sum over layers: 0 is the same image. The precision is the one that `inference.precision.configure` has
set.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from crossfool.errors import UserError
from crossfool.storage.tensors import TensorFile

_NAMES = ("weight", "bias", "linear")  # of a layer's tensors
CONVOLUTIONS = (  # channels out and in, kernel, stride, padding, whether the features are halved before
    (64, 3, 11, 4, 2, False),
    (192, 64, 5, 1, 2, True),
    (384, 192, 3, 1, 1, True),
    (256, 384, 3, 1, 1, False),
    (256, 256, 3, 1, 1, False),
)
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of pixels in -1..1
BLOCK = 16  # pairs of images at a time


class Lpips:
    """LPIPS distance of images, computed on a device.

    Args:
        tensors: Weights as `lpips_weights.fetch` returns them.
        device: The device that computes.
    """

    def __init__(self, tensors: Mapping[str, np.ndarray], device: torch.device) -> None:
        self._device = device
        self._layers = [
            tuple(torch.from_numpy(np.array(tensors[f"{number}.{name}"])).to(device) for name in _NAMES)
            for number in range(len(CONVOLUTIONS))
        ]
        self._shift, self._scale = (torch.tensor(values, device=device).view(3, 1, 1) for values in (_SHIFT, _SCALE))

    @torch.inference_mode()
    def __call__(self, images: np.ndarray, originals: np.ndarray) -> np.ndarray:
        """Distance of each image from its original, (N,) float32; both (N,3,H,W) uint8, of 32 pixels and more."""
        distances = [
            self._distance(images[start : start + BLOCK], originals[start : start + BLOCK])
            for start in range(0, len(images), BLOCK)
        ]
        return np.concatenate(distances) if distances else np.zeros(0, np.float32)

    def _distance(self, images: np.ndarray, originals: np.ndarray) -> np.ndarray:
        """Distance of each image from its original, computed in one batch."""
        x, y = (self._scaled(batch) for batch in (images, originals))
        total = torch.zeros(len(images), device=self._device)
        for (weight, bias, linear), (*_, stride, padding, halved) in zip(self._layers, CONVOLUTIONS, strict=True):
            if halved:
                x, y = (functional.max_pool2d(features, 3, 2) for features in (x, y))
            x, y = (functional.relu(functional.conv2d(batch, weight, bias, stride, padding)) for batch in (x, y))
            squared = (_unit(x) - _unit(y)) ** 2
            total += (squared * linear.view(-1, 1, 1)).sum(1).mean((1, 2))
        distances: np.ndarray = total.cpu().numpy()
        return distances

    def _scaled(self, images: np.ndarray) -> Tensor:
        """Images (N,3,H,W) uint8 on the device, shifted and scaled as AlexNet expects them."""
        pixels = torch.from_numpy(np.array(images)).to(self._device).float() / 127.5 - 1
        return (pixels - self._shift) / self._scale


def _unit(features: Tensor) -> Tensor:
    """Bring features (N,C,H,W) to unit length over the channels, at each place."""
    unit: Tensor = features / (features.norm(dim=1, keepdim=True) + 1e-10)
    return unit


def load_lpips(path: Path, device: torch.device, *, asked: bool) -> Lpips | None:
    """Load LPIPS from the weights file that the stage `lpips` wrote; None where params.yaml does not ask for it.

    Args:
        path: The weights file.
        device: The device that computes.
        asked: Whether params.yaml asks for LPIPS.

    Raises:
        UserError: the file is missing or damaged, or does not hold the weights, or holds them unasked.
    """
    file = TensorFile(path)
    tensors = {name: file[name] for name in file.names()}
    expected: dict[str, tuple[str, tuple[int, ...]]] = {}
    for number, (out, into, kernel, *_) in enumerate(CONVOLUTIONS if asked else ()):
        shapes = (out, into, kernel, kernel), (out,), (out,)
        expected |= {f"{number}.{name}": ("float32", shape) for name, shape in zip(_NAMES, shapes, strict=True)}
    if {name: (values.dtype.name, values.shape) for name, values in tensors.items()} != expected:
        problem = "does not hold the weights of LPIPS" if asked else "holds weights that lpips: false does not ask for"
        raise UserError(f"{path} {problem}; delete it and run `dvc repro`")
    return Lpips(tensors, device) if asked else None
