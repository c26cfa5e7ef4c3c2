"""From a weights file to a model on pixels: frozen, normalising, resizing, ready for attack.

A weights file (`weights/<model>.safetensors`, written by the `train` stage) carries its normalisation
and native input size in its metadata, so that weights and preprocessing cannot part.
"""

import contextlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from transferbench.artefacts import TensorFile
from transferbench.errors import UserError


class Pixels(nn.Module):
    """Logits (N,K), float32, of images (N,C,H,W) with pixels 0..255.

    Args:
        network: Takes normalised images of its native side.
        mean, std: Per channel, in pixel values.
        side: Native side; images of another are resized to it, bilinear or bicubic, filtered.
        interpolation: bilinear or bicubic.
        precision: float32, or bfloat16 by autocast.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        side: int,
        interpolation: str = "bilinear",
        precision: str = "float32",
    ) -> None:
        super().__init__()
        self.network, self.side, self.interpolation, self.precision = network, side, interpolation, precision
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] != self.side:
            x = F.interpolate(x, size=(self.side, self.side), mode=self.interpolation, antialias=True)
        with autocast(x.device.type, self.precision):
            return self.network((x - self.mean) / self.std).float()


def autocast(device: str, precision: str) -> contextlib.AbstractContextManager[Any]:
    """The context in which a network computes: float32 as it is, or bfloat16 where torch thinks it safe."""
    return contextlib.nullcontext() if precision == "float32" else torch.autocast(device, torch.bfloat16)


def load(path: Path, *, device: torch.device, precision: str = "float32") -> Pixels:
    """The model of a weights file, ready for inference and input gradients.

    Raises:
        UserError: the file is damaged, or does not fit its network.
    """
    file = TensorFile(path)
    try:
        about = json.loads(file.metadata["model"])
        network = build(about["name"], about["library"])
    except KeyError as error:
        raise UserError(f"{path}: its metadata lacks {error}; delete it and run `dvc repro`") from None
    state = {name: torch.from_numpy(file[name].copy()) for name in file.names()}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} does not fit {about['name']}: {reason}; delete it and run `dvc repro`") from None
    return wrap(network, about, device=device, precision=precision)


def wrap(network: nn.Module, about: Mapping[str, Any], *, device: torch.device, precision: str = "float32") -> Pixels:
    """A network as a frozen model on pixels.

    Args:
        network: Its weights loaded.
        about: mean, std, side and interpolation, as in a weights file's metadata.
        device, precision: Where and how it computes.
    """
    network = network.eval().requires_grad_(False)
    # float32 is to mean float32 on a GPU, and the same every time
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    mean, std = tuple(about["mean"]), tuple(about["std"])
    model = Pixels(
        folded(network),
        mean=mean,
        std=std,
        side=about["side"],
        interpolation=about["interpolation"],
        precision=precision,
    )
    # convolutions run fastest with channels last; the arithmetic is the same
    return model.eval().requires_grad_(False).to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def folded(network: nn.Module) -> nn.Module:
    """The network with batch normalisation folded into the convolutions before it.

    Same function up to rounding. A network that torch.fx cannot trace is returned as it is.
    """
    try:
        from torch.fx.experimental.optimization import fuse

        return fuse(network).requires_grad_(False)
    except Exception:  # torch.fx raises many kinds; unfolded is right too, only slower
        return network


def build(name: str, library: str) -> nn.Module:
    """The network of a model, its weights not yet loaded.

    Raises:
        UserError: timm is not installed, or does not know the model.
    """
    if library == "transferbench":
        from transferbench import networks

        return networks.build(name)
    if library == "torchvision":
        from torchvision import models

        # these two were published with another normalisation, which they undo at their input
        ported = name in ("googlenet", "inception_v3")
        extra = {"init_weights": False, "transform_input": True} if ported else {}
        return models.get_model(name, weights=None, **extra)
    timm = timm_library()
    try:
        return timm.create_model(name.removeprefix("timm_"), pretrained=False)
    except RuntimeError as error:
        raise UserError(f"{name}: timm has no such model ({' '.join(str(error).split())})") from None


def timm_library() -> Any:
    """The timm package.

    Raises:
        UserError: it is not installed.
    """
    try:
        import timm
    except ImportError:
        raise UserError("models named timm_* need the timm package: pip install 'transferbench[timm]'") from None
    return timm


def load_all(names: Iterable[str], folder: Path, *, device: torch.device, precision: str) -> dict[str, Pixels]:
    """Models by name, from a folder of weights files."""
    return {name: load(folder / f"{name}.safetensors", device=device, precision=precision) for name in names}
