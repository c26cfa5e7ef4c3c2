"""Attacks of the torchattack library in place of the loop: `method: torchattack/<Name>` in params.yaml.

The library works on pixels 0..1 and on whole batches: some of its attacks mix images, and all draw from global
generators. So it is given a chunk as a whole, never a part, and is seeded from (seed, ids of the chunk's images).
"""

import contextlib
import copy
import importlib.metadata
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from crossfool import seeds
from crossfool.attacks import fusion
from crossfool.attacks.chunk import Chunk, Crafted
from crossfool.attacks.config import Attack
from crossfool.attacks.projection import quantise
from crossfool.attacks.torchattack import catalogue
from crossfool.attacks.torchattack.gradient_count import GradientCount, RowExceeded
from crossfool.attacks.types import Model
from crossfool.errors import MAX_PIXEL, UserError, brief, refuse_unit_images, unknown_name


def craft(
    members: Sequence[Model],
    row: Attack,
    chunk: Chunk,
    name: str,
    evaluated: Callable[[int], object] = lambda count: None,
    *,
    architecture: str = "",
) -> Crafted:
    """Adversarial images of a chunk as `{"images": (N,C,H,W) uint8}`, and which were finite throughout, (N,) bool.

    Args:
        members: The source's models.
        row: The attack.
        chunk: N images with their labels.
        name: The source's name, for errors.
        evaluated: Called with the number of gradient evaluations, an image each, as they are made.
        architecture: The library's name of the network, by which some attacks know its layers; `name` if not given.

    Raises:
        RowExceeded: the attack evaluates more gradients than its row says, as the source model counts them.
        UserError: the library is missing, or cannot attack this source or these images.
    """
    assert row.library_method is not None
    refuse_unit_images(chunk.images)
    x, aims = chunk.images.float() / MAX_PIXEL, chunk.target_labels if row.targeted else chunk.labels
    finite = torch.ones(len(x), dtype=torch.bool, device=x.device)
    count = GradientCount(len(x) * row.gradient_evaluations_per_seed, evaluated, f"{row.method} on {name}")

    def on_gradient(gradient: Tensor) -> None:
        copies = gradient.isfinite().flatten(1).all(1).view(-1, batch)  # copies of the batch, one behind the other
        finite[start : start + batch].logical_and_(copies.all(0))

    batch = 1 if row.library_method.alone else len(x)
    batches = []
    for start in range(0, len(x), batch):
        part = slice(start, start + batch)
        with _seeded(seeds.derive_seed(row.seed or 0, *chunk.ids[part]), x.device):
            names = name, architecture or name
            batches.append(_attack_batch(members, row, x[part], aims[part], names, on_gradient, count))
    x_adv = torch.cat(batches)
    finite &= x_adv.isfinite().flatten(1).all(1)
    return {"images": quantise(x_adv * MAX_PIXEL, chunk.images.float(), row.epsilon)}, finite


def _attack_batch(
    members: Sequence[Model],
    row: Attack,
    x: Tensor,
    aims: Tensor,
    names: tuple[str, str],
    on_gradient: Callable[[Tensor], None],
    count: GradientCount,
) -> Tensor:
    """The library's adversarial images for a batch x, both (N,C,H,W), pixels 0..1.

    Args:
        members: The source's models.
        row: The attack.
        x: Clean images.
        aims: Labels to leave or to reach, (N,).
        names: The source's name, and the library's name of its network.
        on_gradient: Called with each gradient by the images.
        count: Counts the gradients that the library has the source evaluate.
    """
    (name, architecture), library, attack = names, _library(), str(row.method).partition("/")[2]
    source, normalise = _source_network(members, row, names, lambda x: _to_pixels(x, on_gradient))
    options = dict(row.options or {}) | {"eps": row.epsilon / MAX_PIXEL}
    if row.library_method is not None and row.library_method.steps:
        options |= {"steps": row.steps, "alpha": row.step_size / MAX_PIXEL}
    if row.targeted:
        options["targeted"] = True
    if attack in ("Admix", "BFA"):
        with torch.no_grad():
            options["num_classes"] = source(normalise(x[:1])).shape[-1]
    count.watch(source)
    model = library.AttackModel(architecture, source, lambda image: image, normalise)
    try:
        with warnings.catch_warnings(action="ignore"):
            run_attack = getattr(library, attack)(model, normalise, x.device, **options)
            x_adv: Tensor = run_attack(x.contiguous(), aims).detach()
        count.refuse_excess()
        return x_adv
    except RowExceeded:
        raise
    except torch.OutOfMemoryError:
        raise UserError(f"{row.method}: {len(x)} images do not fit in memory at once; lower compute: chunk") from None
    except Exception as error:  # foreign code raises many kinds
        reason = brief(f"{type(error).__name__}: {error}", 200)
        raise UserError(f"{row.method} cannot attack {name} with images of {x.shape[-1]} pixels ({reason})") from error


def _source_network(
    members: Sequence[Model], row: Attack, names: tuple[str, str], to_pixels: Callable[[Tensor], Tensor]
) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    """The module to attack, and the function that images 0..1 go through before it.

    The module is the network as its library built it, where the attack needs that, else the whole source.
    """
    if not row.needs_original_network:
        source = members[0] if len(members) == 1 else fusion.source_log_probabilities(members, row.fusion)
        return _SourceModule(source), to_pixels
    (member,) = members
    assert isinstance(member, PixelNetwork)
    network = copy.deepcopy(member.network)  # hooks and exchanged layers stay in it
    for module in network.modules():
        if hasattr(module, "fused_attn"):
            setattr(module, "fused_attn", False)  # noqa: B010  # timm's fused attention skips the layers that have hooks
    _check_layers(network, row, *names)
    return network, lambda x: member.normalised(to_pixels(x))


def _check_layers(network: nn.Module, row: Attack, name: str, architecture: str) -> None:
    """Refuse a network without the layers that an attack hooks into; some attacks would miss them silently."""
    layers, layer = dict(network.named_modules()), (row.options or {}).get("feature_layer_cfg")
    if layer is not None and layer not in layers:
        raise UserError(f"{row.method}: {unknown_name(f'layer of {name}', layer, layers)}")
    known = getattr(getattr(_library(), str(row.method).partition("/")[2]), "_builtin_cfgs", None)
    if known is not None and layer is None and architecture not in known:
        raise UserError(
            f"{row.method} knows a layer of {', '.join(known)}, and none of {name}; "
            "give options: {feature_layer_cfg: ...}"
        )
    if row.method == "torchattack/BPA" and not {"maxpool", "layer3", "layer4"} <= layers.keys():
        raise UserError(f"{row.method} exchanges layers of torchvision's ResNets, and {name} is none")
    relus = (path for path, module in layers.items() if isinstance(module, nn.ReLU) and "relu" in path)
    if row.method == "torchattack/SGM" and all("0.relu" in path or "transition" in path for path in relus):
        raise UserError(f"{row.method} weakens gradients of layers named relu in residual blocks, and {name} has none")
    disturbed = (nn.ReLU, nn.AvgPool2d, nn.AdaptiveAvgPool2d)
    if row.method == "torchattack/FDA" and not any(isinstance(module, disturbed) for module in layers.values()):
        raise UserError(f"{row.method} disturbs layers of ReLU and average pooling, and {name} has neither")


@runtime_checkable
class PixelNetwork(Protocol):
    """A model on pixels 0..255 that gives access to its network and to the normalisation before it.

    Attributes:
        network: Takes normalised images (N,C,H,W), returns logits.
    """

    network: nn.Module

    def normalised(self, x: Tensor) -> Tensor: ...


class _SourceModule(nn.Module):
    """A source as a torch module, which the library expects."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


def _to_pixels(x: Tensor, on_gradient: Callable[[Tensor], None]) -> Tensor:
    """Scale images 0..1 to pixels 0..255, and have `on_gradient` called with each gradient by them."""
    x = x * MAX_PIXEL
    if torch.is_grad_enabled():
        x.requires_grad_()  # weights are frozen, and an attack may need a layer's gradient alone
        x.register_hook(on_gradient)
    return x


@contextlib.contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed all generators that the library draws from, and restore their states after the block."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)


def _library() -> Any:
    """Import the torchattack package.

    Raises:
        UserError: it is not installed.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            import torchattack
    except ImportError:
        raise UserError(
            "methods named torchattack/* need the torchattack package: pip install --editable '.[attacks]'"
        ) from None
    return torchattack


def library_version() -> str:
    """The version of the installed torchattack, for a cell's metadata."""
    _library()
    return importlib.metadata.version(catalogue.LIBRARY)
