"""From a weights file to a model on pixels: frozen, normalising, resizing, ready for attack.

A weights file (`weights/<model>.safetensors`, written by the `train` stage) carries its normalisation
and native input size in its metadata, so that weights and preprocessing cannot part.
"""

import copy
import inspect
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from transferbench import dense, fusing, networks, zoo
from transferbench.artefacts import TensorFile, account
from transferbench.errors import UserError, brief, refuse_unit_images
from transferbench.params import Compute
from transferbench.precision import autocast, configure
from transferbench.runtime import keep_memory

EXACT = Compute(precision="float32", chunk=1)


class Pixels(nn.Module):
    """Logits (N,K), float32, of images (N,C,H,W) with pixels 0..255.

    Args:
        network: Takes normalised images of its native side.
        mean: Per channel, in pixel values.
        std: Likewise; None where the network's first layer already divides by it.
        side: Native side; images of another are resized to it, bilinear or bicubic, filtered.
        interpolation: bilinear or bicubic.
        precision: As in `precision.py`.

    Raises:
        UserError: the first images that it is called with have pixels 0..1.
    """

    mean: Tensor
    std: Tensor | None
    called: bool = False

    def __init__(
        self,
        network: nn.Module,
        *,
        mean: tuple[float, ...],
        std: tuple[float, ...] | None,
        side: int,
        interpolation: str = "bilinear",
        precision: str = "float32",
    ) -> None:
        super().__init__()
        self.network, self.side, self.interpolation, self.precision = network, side, interpolation, precision
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", None if std is None else torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        if not self.called:  # a look at every batch would have a GPU wait
            refuse_unit_images(x.detach())
            self.called = True
        x = self.normalised(x)
        with autocast(x.device.type, self.precision):
            return self.network(x).float()

    def normalised(self, x: Tensor) -> Tensor:
        """What the network takes, (N,C,side,side), of images (N,C,H,W), pixels 0..255."""
        if x.shape[-1] != self.side:
            x = F.interpolate(x, size=(self.side, self.side), mode=self.interpolation, antialias=True)
        x = x - self.mean
        return x if self.std is None else x / self.std


def load(path: Path, *, device: torch.device, compute: Compute = EXACT, as_built: bool = False) -> Pixels:
    """The model of a weights file, ready for inference and input gradients.

    Args:
        path, device, compute: Which, where and how it computes.
        as_built: See `wrap`.

    Raises:
        UserError: the file is damaged, is of no known model, does not fit its network, or holds a weight that is not
            finite.
    """
    file = TensorFile(path)
    about = account(file)
    spec = zoo.spec(about["name"])
    if (spec.library, spec.network) != (about["library"], about.get("network", "")):  # what is built is a known network
        raise UserError(f"{path} is not of the zoo's {spec.name}; delete it and run `dvc repro`")
    network = networks.build(spec.network or spec.name, spec.library)
    state = {name: torch.from_numpy(file[name].copy()) for name in file.names()}
    kinds = {name: tensor.dtype for name, tensor in network.state_dict().items()}
    try:
        network.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise UserError(
            f"{path} does not fit {about['name']}: {brief(error, 200)}; delete it and run `dvc repro`"
        ) from None
    for name, tensor in state.items():
        if tensor.dtype != kinds[name]:
            raise UserError(f"{path}: {name} is {tensor.dtype}, expected {kinds[name]}; delete it and run `dvc repro`")
        # an activation may turn a NaN into a zero
        if not tensor.isfinite().all():
            raise UserError(f"{path}: {name} of {about['name']} is not finite; delete it and run `dvc repro`")
    model = wrap(network, about, device=device, compute=compute, as_built=as_built)
    keep_memory()  # not sooner: what loading takes for a moment would be kept, too
    return model


def wrap(
    network: nn.Module,
    about: Mapping[str, Any],
    *,
    device: torch.device,
    compute: Compute = EXACT,
    as_built: bool = False,
) -> Pixels:
    """A network as a frozen model on pixels.

    Args:
        network: Its weights loaded.
        about: mean, std, side and interpolation, as in a weights file's metadata.
        device, compute: Where and how it computes.
        as_built: Leave its layers as they are, for attacks that hook into them; slower.
    """
    network = network.eval().requires_grad_(False)
    configure(compute.precision)
    network = network if as_built else folded(network)
    divided = divides(network, about["std"])
    network.to(device)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):  # these run fastest with channels last; the arithmetic is the same
            module.to(memory_format=torch.channels_last)
    if compute.compile:
        network = compiled(network, device)
    elif device.type == "cpu" and compute.precision != "bfloat16" and not as_built:
        network = dense.joined(fusing.fused(network))
    model = Pixels(
        network,
        mean=tuple(about["mean"]),
        std=None if divided else tuple(about["std"]),
        side=about["side"],
        interpolation=about["interpolation"],
        precision=compute.precision,
    )
    return model.eval().requires_grad_(False).to(device)


def divides(network: nn.Module, std: Sequence[float]) -> bool:
    """Have a traced network divide its input by `std`, where a convolution alone reads it; whether it does.

    Exact up to rounding, whatever the padding: zeros stay zeros. The mean is another matter.
    """
    if not isinstance(network, fx.GraphModule):
        return False
    (images,) = (node for node in network.graph.nodes if node.op == "placeholder")
    readers = [network.get_submodule(str(node.target)) for node in images.users if node.op == "call_module"]
    if len(images.users) != 1 or not readers or type(readers[0]) is not nn.Conv2d or readers[0].groups != 1:
        return False
    if sum(node.target == next(iter(images.users)).target for node in network.graph.nodes) != 1:
        return False  # the convolution reads something else, too
    first = copy.deepcopy(readers[0])  # the network as it was keeps its own
    with torch.no_grad():
        first.weight.div_(torch.tensor(std, dtype=first.weight.dtype).view(1, -1, 1, 1))
    network.set_submodule(str(next(iter(images.users)).target), first)
    return True


def compiled(network: nn.Module, device: torch.device) -> nn.Module:
    """The network with kernels of `torch.compile`, which later stages take from its cache; on a GPU as CUDA graphs."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path(".transferbench/compiled").absolute()))
    mode = "reduce-overhead" if device.type == "cuda" else "default"
    return torch.compile(network, mode=mode, dynamic=False)  # type: ignore[return-value]


def folded(network: nn.Module) -> nn.Module:
    """The network with batch normalisation folded into the convolutions before it.

    Same function up to rounding. A network that torch.fx cannot trace is returned as it is, as is one of several
    inputs: tracing would take those that are left out for given (a transformer's `attn_mask`).
    """
    if len(inspect.signature(network.forward).parameters) > 1:
        return network
    try:
        from torch.fx.experimental.optimization import fuse

        # in place: the rest is shared with the network as it was, not copied
        return fuse(network, inplace=True).requires_grad_(False)
    except Exception:  # torch.fx raises many kinds; unfolded is right too, only slower
        return network


def load_all(names: Iterable[str], folder: Path, *, device: torch.device, compute: Compute) -> dict[str, Pixels]:
    """Models by name, from a folder of weights files.

    Raises:
        UserError: as `load`, or a file holds another model's weights.
    """
    paths = {name: folder / f"{name}.safetensors" for name in names}
    for name, path in paths.items():
        account(TensorFile(path), name)
    return {name: load(path, device=device, compute=compute) for name, path in paths.items()}
