"""Models on pixels, from weights files: frozen, normalising, resizing, ready for attack.

A weights file (`weights/<model>.safetensors`, written by the `train` stage) carries its normalisation
and native input size in its metadata, so that weights and preprocessing cannot part.
"""

import copy
import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from crossfool.errors import UserError, brief, refuse_unit_images
from crossfool.models import build
from crossfool.models.inference.config import Compute
from crossfool.models.inference.cpu import dense_blocks, fusion, inplace_writes
from crossfool.models.inference.precision import autocast, configure
from crossfool.models.weights import registry
from crossfool.models.weights_file import read_description
from crossfool.runtime import keep_freed_memory
from crossfool.storage.tensors import TensorFile

EXACT = Compute(precision="float32", chunk=1)


class PixelModel(nn.Module):
    """Logits (N,K), float32, of images (N,C,H,W) with pixels 0..255.

    Args:
        network: Takes normalised images of its native side, gives logits.
        mean: Per channel, in pixel values 0..255.
        std: Likewise; None where the network's first layer already divides by it.
        side: Native side in pixels; images of another side are resized to it, antialiased.
        interpolation: bilinear or bicubic, for resizing.
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
        if not self.called:  # a check of every batch would have a GPU wait
            refuse_unit_images(x.detach())
            self.called = True
        x = self.normalised(x)
        with autocast(x.device.type, self.precision):
            logits = self.network(x)
        if not isinstance(logits, Tensor):  # auxiliary heads, a dictionary of features
            raise UserError(f"a network gave a {type(logits).__name__}, expected logits (N,K): it is no classifier")
        return logits.float()

    def normalised(self, x: Tensor) -> Tensor:
        """Resize and normalise images (N,C,H,W) with pixels 0..255 to what the network takes, (N,C,side,side)."""
        if x.shape[-1] != self.side:
            x = F.interpolate(x, size=(self.side, self.side), mode=self.interpolation, antialias=True)
        x = x - self.mean
        return x if self.std is None else x / self.std


def load(path: Path, *, device: torch.device, compute: Compute = EXACT, as_built: bool = False) -> PixelModel:
    """Load the model of a weights file, ready for inference and input gradients.

    Args:
        path: The weights file.
        device: As in `wrap`.
        compute: As in `wrap`.
        as_built: As in `wrap`.

    Raises:
        UserError: the file is damaged, names no known model, does not fit its network, or holds a weight that is not
            finite.
    """
    file = TensorFile(path)
    description = read_description(file)
    spec = registry.spec(description["name"])
    if (spec.library, spec.network) != (
        description["library"],
        description.get("network", ""),
    ):  # only a known network is built
        raise UserError(f"{path} is not of the zoo's {spec.name}; delete it and run `dvc repro`")
    network = build.build(spec.network or spec.name, spec.library)
    state = {name: torch.from_numpy(file[name].copy()) for name in file.names()}
    dtypes = {name: tensor.dtype for name, tensor in network.state_dict().items()}
    try:
        network.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise UserError(
            f"{path} does not fit {description['name']}: {brief(error, 200)}; delete it and run `dvc repro`"
        ) from None
    for name, tensor in state.items():
        if tensor.dtype != dtypes[name]:
            raise UserError(f"{path}: {name} is {tensor.dtype}, expected {dtypes[name]}; delete it and run `dvc repro`")
        # an activation may turn a NaN into a zero
        if not tensor.isfinite().all():
            raise UserError(f"{path}: {name} of {description['name']} is not finite; delete it and run `dvc repro`")
    model = wrap(network, description, device=device, compute=compute, as_built=as_built)
    keep_freed_memory()  # not sooner: memory that loading takes for a moment would be kept, too
    return model


def wrap(
    network: nn.Module,
    description: Mapping[str, Any],
    *,
    device: torch.device,
    compute: Compute = EXACT,
    as_built: bool = False,
) -> PixelModel:
    """Wrap a network as a frozen model on pixels.

    Args:
        network: Its weights loaded.
        description: mean, std, side and interpolation, as in a weights file's metadata.
        device: Where it computes.
        compute: How it computes.
        as_built: Leave its layers as they are, for attacks that hook into them; slower.
    """
    network = network.eval().requires_grad_(False)
    configure(compute.precision)
    network = network if as_built else fold_batch_norm(network)
    divided = fold_std(network, description["std"])
    network.to(device)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):  # convolutions run fastest with channels last; the arithmetic is the same
            module.to(memory_format=torch.channels_last)
    if compute.compile:
        network = compile_network(network, device)
    elif device.type == "cpu" and compute.precision != "bfloat16" and not as_built:
        network = dense_blocks.replace_dense_blocks(fusion.fuse_chains(network))
    model = PixelModel(
        network,
        mean=tuple(description["mean"]),
        std=None if divided else tuple(description["std"]),
        side=description["side"],
        interpolation=description["interpolation"],
        precision=compute.precision,
    )
    return model.eval().requires_grad_(False).to(device)


def fold_std(network: nn.Module, std: Sequence[float]) -> bool:
    """Divide a traced network's first weights by `std`, if a single convolution reads the images; True if done.

    Exact up to rounding, whatever the padding: zeros stay zeros. A mean would not let them, and is not folded.
    """
    if not isinstance(network, fx.GraphModule):
        return False
    images = [node for node in network.graph.nodes if node.op == "placeholder"]
    reader = next(iter(images[0].users)) if len(images) == 1 and len(images[0].users) == 1 else None
    if reader is None or _module_class(reader, dict(network.named_modules())) is not nn.Conv2d:
        return False
    conv = network.get_submodule(str(reader.target))
    assert isinstance(conv, nn.Conv2d)
    if conv.groups != 1 or not called_once(network, str(reader.target)):
        return False
    first = copy.deepcopy(conv)  # the original network keeps its own
    with torch.no_grad():
        first.weight.div_(torch.tensor(std, dtype=first.weight.dtype).view(1, -1, 1, 1))
    network.set_submodule(str(reader.target), first)
    return True


def compile_network(network: nn.Module, device: torch.device) -> nn.Module:
    """Compile a network by `torch.compile`, whose cache later stages reuse; on a GPU as CUDA graphs."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path(".crossfool/compiled").absolute()))
    mode = "reduce-overhead" if device.type == "cuda" else "default"
    return torch.compile(network, mode=mode, dynamic=False)  # type: ignore[return-value]


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """Fold a network's batch normalisation into the convolutions and linear layers before it.

    Same function up to rounding. A network that torch.fx cannot trace is returned as it is, as is a network of several
    inputs: tracing would treat optional ones (a transformer's `attn_mask`) as given.
    """
    if len(inspect.signature(network.forward).parameters) > 1:
        return network
    try:
        traced = inplace_writes.trace(network)  # shares the network's modules, no copies
    except Exception:  # torch.fx raises many kinds; unfolded is right too, only slower
        return network
    graph, modules = traced.graph, dict(traced.named_modules())
    for node in list(graph.nodes):
        if _is_identity(node, modules):
            node.replace_all_uses_with(node.all_input_nodes[0])
            graph.erase_node(node)
    for node in list(graph.nodes):
        fold = FOLDS.get((_module_class(layer := _only_input(node), modules), _module_class(node, modules)))
        if layer is None or fold is None or len(layer.users) > 1 or not called_once(traced, str(layer.target)):
            continue
        norm = modules[str(node.target)]
        if norm.training or norm.running_mean is None or norm.running_var is None:
            continue  # normalises by the statistics of the batch
        modules[str(layer.target)] = fold(modules[str(layer.target)], norm)
        traced.set_submodule(str(layer.target), modules[str(layer.target)])
        node.replace_all_uses_with(layer)
        graph.erase_node(node)
    traced.recompile()
    return traced.requires_grad_(False)


FOLDS: dict[tuple[type | None, type | None], Callable[[Any, Any], nn.Module]] = {
    (nn.Conv1d, nn.BatchNorm1d): fuse_conv_bn_eval,
    (nn.Conv2d, nn.BatchNorm2d): fuse_conv_bn_eval,
    (nn.Conv3d, nn.BatchNorm3d): fuse_conv_bn_eval,
    (nn.Linear, nn.BatchNorm1d): fuse_linear_bn_eval,
}


def _module_class(node: fx.Node | None, modules: Mapping[str, nn.Module]) -> type | None:
    """The class of the module that a node calls; None where it calls none, or the module has hooks."""
    module = modules.get(str(node.target)) if node is not None and node.op == "call_module" else None
    return None if module is None or fusion.hooked(module) else type(module)


def _only_input(node: fx.Node) -> fx.Node | None:
    """The only node that a node reads; None where it reads none or several."""
    return node.all_input_nodes[0] if len(node.all_input_nodes) == 1 else None


def _is_identity(node: fx.Node, modules: Mapping[str, nn.Module]) -> bool:
    """Whether a node returns its input, the very same tensor: an Identity, a Dropout that is switched off."""
    if len(node.all_input_nodes) != 1:
        return False
    if node.op == "call_function" and node.target is F.dropout:
        return node.kwargs.get("training", True) is False
    module_class = _module_class(node, modules)
    if module_class is None or not issubclass(module_class, nn.Identity | nn.modules.dropout._DropoutNd):
        return False
    return module_class is nn.Identity or not modules[str(node.target)].training


def called_once(network: fx.GraphModule, target: str) -> bool:
    """Whether a traced network calls a module exactly once, and reads the module's weights nowhere else."""
    calls = sum(node.op == "call_module" and node.target == target for node in network.graph.nodes)
    reads = any(node.op == "get_attr" and f"{node.target}.".startswith(f"{target}.") for node in network.graph.nodes)
    return calls == 1 and not reads


def load_all(names: Iterable[str], folder: Path, *, device: torch.device, compute: Compute) -> dict[str, PixelModel]:
    """Load models by name, from a folder of weights files.

    Raises:
        UserError: as `load`, or a file holds another model's weights.
    """
    paths = {name: folder / f"{name}.safetensors" for name in names}
    for name, path in paths.items():
        read_description(TensorFile(path), name)
    return {name: load(path, device=device, compute=compute) for name, path in paths.items()}
