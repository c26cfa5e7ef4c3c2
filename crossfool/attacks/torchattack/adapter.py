"""Attacks of torchattack beside our own: `method: torchattack/<Name>` in params.yaml.

The library works on pixels 0..1 and on whole batches: some of its attacks mix images, and all draw from global
generators. So a chunk is what it is given, never a part of one, and is seeded from (seed, ids of its images).
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
from crossfool.attacks import losses
from crossfool.attacks.config import Attack
from crossfool.attacks.loop import quantise
from crossfool.attacks.losses import Model
from crossfool.attacks.torchattack import catalogue
from crossfool.errors import UserError, brief, refuse_unit_images, unknown

LEVELS = 255


def craft(
    members: Sequence[Model],
    row: Attack,
    images: Tensor,
    labels: Tensor,
    target_labels: Tensor,
    ids: Sequence[int],
    name: str,
    evaluated: Callable[[int], object] = lambda count: None,
    *,
    architecture: str = "",
) -> tuple[dict[str, Tensor], Tensor]:
    """Adversarial images of one chunk, and which were finite throughout; as `cells.craft`.

    Args:
        name: The source's, for errors.
        architecture: What its library calls the network, by which some attacks know its layers; `name` if not given.

    Raises:
        UserError: the library is missing, or cannot attack this source or these images.
    """
    assert row.known is not None
    refuse_unit_images(images)
    x, goal = images.float() / LEVELS, target_labels if row.targeted else labels
    finite = torch.ones(len(x), dtype=torch.bool, device=x.device)
    count = 0

    def seen(gradient: Tensor) -> None:
        nonlocal count
        count += len(gradient)
        evaluated(len(gradient))
        copies = gradient.isfinite().flatten(1).all(1).view(-1, batch)  # one behind the other
        finite[start : start + batch].logical_and_(copies.all(0))

    batch = 1 if row.known.alone else len(x)
    parts = []
    for start in range(0, len(x), batch):
        part = slice(start, start + batch)
        with _seeded(seeds.derived(row.seed or 0, *ids[part]), x.device):
            parts.append(_attacked(members, row, x[part], goal[part], (name, architecture or name), seen))
    x_adv = torch.cat(parts)
    evaluated(len(x) * row.gradients - count)  # those that end at a layer
    finite &= x_adv.isfinite().flatten(1).all(1)
    return {"images": quantise(x_adv * LEVELS, images.float(), row.epsilon)}, finite


def _attacked(
    members: Sequence[Model],
    row: Attack,
    x: Tensor,
    goal: Tensor,
    names: tuple[str, str],
    seen: Callable[[Tensor], None],
) -> Tensor:
    """What the library makes of a batch x (N,C,H,W), pixels 0..1, likewise; `seen` is given each gradient."""
    (name, architecture), library, attack = names, _library(), str(row.method).partition("/")[2]
    source, normalise = _source(members, row, names, lambda x: _pixels(x, seen))
    options = dict(row.options or {}) | {"eps": row.epsilon / LEVELS}
    if row.known is not None and row.known.steps:
        options |= {"steps": row.steps, "alpha": row.step_size / LEVELS}
    if row.targeted:
        options["targeted"] = True
    if attack in ("Admix", "BFA"):
        with torch.no_grad():
            options["num_classes"] = source(normalise(x[:1])).shape[-1]
    model = library.AttackModel(architecture, source, lambda image: image, normalise)
    try:
        with warnings.catch_warnings(action="ignore"):
            result: Tensor = getattr(library, attack)(model, normalise, x.device, **options)(
                x.contiguous(), goal
            ).detach()
            return result
    except torch.OutOfMemoryError:
        raise UserError(f"{row.method}: {len(x)} images do not fit in memory at once; lower compute: chunk") from None
    except Exception as error:  # foreign code raises many kinds
        reason = brief(f"{type(error).__name__}: {error}", 200)
        raise UserError(f"{row.method} cannot attack {name} with images of {x.shape[-1]} pixels ({reason})") from error


def _source(
    members: Sequence[Model], row: Attack, names: tuple[str, str], pixels: Callable[[Tensor], Tensor]
) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    """What is attacked, and what images 0..1 go through before: a network of its library's, or a whole source."""
    if not row.as_built:
        only = members[0] if len(members) == 1 else losses.source(members, row.fusion)
        return _Whole(only), pixels
    (member,) = members
    assert isinstance(member, PixelNetwork)
    network = copy.deepcopy(member.network)  # hooks and exchanged layers stay in it
    for module in network.modules():
        if hasattr(module, "fused_attn"):
            setattr(module, "fused_attn", False)  # noqa: B010  # timm's: fused, its layers are passed by and hooks see nothing
    _hookable(network, row, *names)
    return network, lambda x: member.normalised(pixels(x))


def _hookable(network: nn.Module, row: Attack, name: str, architecture: str) -> None:
    """The network has the layers that an attack hooks into, which some attacks would miss without a word."""
    layers, layer = dict(network.named_modules()), (row.options or {}).get("feature_layer_cfg")
    if layer is not None and layer not in layers:
        raise UserError(f"{row.method}: {unknown(f'layer of {name}', layer, layers)}")
    known = getattr(getattr(_library(), str(row.method).partition("/")[2]), "_builtin_cfgs", None)
    if known is not None and layer is None and architecture not in known:
        raise UserError(
            f"{row.method} knows a layer of {', '.join(known)}, and none of {name}; "
            "give options: {feature_layer_cfg: ...}"
        )
    if row.method == "torchattack/BPA" and not {"maxpool", "layer3", "layer4"} <= layers.keys():
        raise UserError(f"{row.method} exchanges layers of torchvision's ResNets, and {name} is none")
    weakened = (name for name, one in layers.items() if isinstance(one, nn.ReLU) and "relu" in name)
    if row.method == "torchattack/SGM" and all("0.relu" in name or "transition" in name for name in weakened):
        raise UserError(f"{row.method} weakens gradients of layers named relu in residual blocks, and {name} has none")
    disturbed = (nn.ReLU, nn.AvgPool2d, nn.AdaptiveAvgPool2d)
    if row.method == "torchattack/FDA" and not any(isinstance(one, disturbed) for one in layers.values()):
        raise UserError(f"{row.method} disturbs layers of ReLU and average pooling, and {name} has neither")


@runtime_checkable
class PixelNetwork(Protocol):
    """A model on pixels 0..255 that gives access to its network and to what the network's input goes through.

    Attributes:
        network: Takes normalised images (N,C,H,W), returns logits.
    """

    network: nn.Module

    def normalised(self, x: Tensor) -> Tensor: ...


class _Whole(nn.Module):
    """A source as the library wants it: a module."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


def _pixels(x: Tensor, seen: Callable[[Tensor], None]) -> Tensor:
    """Images 0..1 as ours, 0..255; `seen` is told of each gradient that comes back to them."""
    x = x * LEVELS
    if torch.is_grad_enabled():
        x.requires_grad_()  # weights are frozen, and an attack may want no more than a layer's gradient
        x.register_hook(seen)
    return x


@contextlib.contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """All generators that the library draws from, seeded; as they were afterwards."""
    others, numpys = random.getstate(), np.random.get_state()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            random.setstate(others)
            np.random.set_state(numpys)


def _library() -> Any:
    """The torchattack package.

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


def version() -> str:
    """The library's version, which belongs to a cell's metadata."""
    _library()
    return importlib.metadata.version(catalogue.LIBRARY)
