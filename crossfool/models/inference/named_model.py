"""Models by name, loaded for use from Python: published ones, those of an experiment, and networks of a user's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from crossfool.errors import UserError, brief
from crossfool.models.inference import pixel_model
from crossfool.models.weights.cached_model import cached_model
from crossfool.models.weights.config import Weights
from crossfool.models.weights_file import read_description
from crossfool.runtime import choose_device
from crossfool.storage.tensors import TensorFile


@dataclass(frozen=True, eq=False)
class Model:
    """A model on pixels, as `load_model` and `wrap_model` make it.

    Attributes:
        name: Its name, for errors; attacks of torchattack know a network's layers by it.
        network: Takes images (N,C,H,W), pixels 0..255, and gives logits (N,K) float32.
        as_built: Whether the network's layers are as its library built them.
    """

    name: str
    network: pixel_model.PixelModel
    as_built: bool = False

    def __call__(self, images: Tensor) -> Tensor:
        """Logits (N,K) float32 of images (N,C,H,W), pixels 0..255."""
        return self.network(images.to(self.device).float())  # type: ignore[no-any-return]

    @property
    def device(self) -> torch.device:
        """The device of the network."""
        return self.network.mean.device


def load_model(
    name: str, *, weights: str | Path | None = None, sha256: str | None = None, as_built: bool = False
) -> Model:
    """Load a model by its name in params.yaml, on the device that `CROSSFOOL_DEVICE` names, else a GPU, else the CPU.

    Args:
        name: A model of `crossfool list models`.
        weights: A weights file that crossfool wrote (`weights/<model>.safetensors` of an experiment), or a folder of
            published weights files. If none is given, published weights are fetched and kept in the cache.
        sha256: The sha256 that published weights must have where crossfool pins none (timm, RobustBench).
        as_built: Leave the layers as the library built them, for attacks of torchattack that look into them.

    Raises:
        UserError: there is no such model, it has no published weights, or they are missing, damaged or not pinned.
    """
    path = None if weights is None else Path(weights)
    if path is None or path.is_dir():
        try:
            known = Weights(dir=None if path is None else str(path), sha256={name: sha256} if sha256 else {})
        except ValidationError:
            raise UserError(f"sha256 is {brief(sha256, 80)!r}, expected 64 hexadecimal digits") from None
        path = cached_model(name, known)
    read_description(TensorFile(path), name)
    return Model(name, pixel_model.load(path, device=choose_device(), as_built=as_built), as_built)


def wrap_model(
    network: nn.Module,
    *,
    name: str,
    mean: Sequence[float],
    std: Sequence[float],
    side: int,
    interpolation: str = "bilinear",
    as_built: bool = False,
) -> Model:
    """Make a model of a network of your own, which is frozen and put into evaluation mode.

    Args:
        network: Takes normalised images (N,C,side,side), gives logits (N,K).
        name: A name for errors.
        mean: Per channel, in pixel values 0..255.
        std: Per channel, in pixel values 0..255.
        side: Side in pixels to which other images are resized.
        interpolation: bilinear or bicubic, for resizing.
        as_built: As in `load_model`.

    Raises:
        UserError: `std` is written for pixels 0..1, or has not as many channels as `mean`.
    """
    if len(mean) != len(std) or not mean:
        raise UserError(f"mean has {len(mean)} channels and std {len(std)}, expected as many, and one at least")
    if max(std) <= 1:
        raise UserError(f"std is {list(std)}, but pixels are 0..255; multiply mean and std by 255")
    description = {"mean": tuple(mean), "std": tuple(std), "side": side, "interpolation": interpolation}
    return Model(name, pixel_model.wrap(network, description, device=choose_device(), as_built=as_built), as_built)
