"""LPIPS: how different two images look to people, by what AlexNet makes of them (arXiv 1801.03924, version 0.1).

Both images' features after each of AlexNet's five ReLUs are brought to unit length at each place; their squared
differences are weighted by how much each channel matters to people, summed over channels and averaged over places; the
distance is the sum over layers: 0 is the same image. It computes in the precision that `precision.configure` has set.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from crossfool.errors import UserError
from crossfool.storage.tensors import TensorFile

NAMES = ("weight", "bias", "linear")  # of a layer's tensors
CONVOLUTIONS = (  # channels out and in, kernel, stride, padding, whether the features are halved before
    (64, 3, 11, 4, 2, False),
    (192, 64, 5, 1, 2, True),
    (384, 192, 3, 1, 1, True),
    (256, 384, 3, 1, 1, False),
    (256, 256, 3, 1, 1, False),
)
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of pixels in -1..1
BLOCK = 16  # pairs at a time


class Lpips:
    """The distance, on a device.

    Args:
        tensors: As `perceptual_weights.fetch` returns them.
        device: Where it computes.
    """

    def __init__(self, tensors: Mapping[str, np.ndarray], device: torch.device) -> None:
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
    result: Tensor = features / (features.norm(dim=1, keepdim=True) + 1e-10)
    return result


def load(path: Path, device: torch.device, *, asked: bool) -> Lpips | None:
    """The distance by the weights in a file that the stage `lpips` wrote; None where it is not asked for.

    Args:
        path: The file.
        device: Where to compute.
        asked: Whether params.yaml asks for it.

    Raises:
        UserError: the file is missing or damaged, or does not hold the weights, or holds them unasked.
    """
    file = TensorFile(path)
    tensors = {name: file[name] for name in file.names()}
    expected: dict[str, tuple[str, tuple[int, ...]]] = {}
    for number, (out, into, kernel, *_) in enumerate(CONVOLUTIONS if asked else ()):
        shapes = (out, into, kernel, kernel), (out,), (out,)
        expected |= {f"{number}.{name}": ("float32", shape) for name, shape in zip(NAMES, shapes, strict=True)}
    if {name: (values.dtype.name, values.shape) for name, values in tensors.items()} != expected:
        what = "does not hold the weights of LPIPS" if asked else "holds weights that lpips: false does not ask for"
        raise UserError(f"{path} {what}; delete it and run `dvc repro`")
    return Lpips(tensors, device) if asked else None
