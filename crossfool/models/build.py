"""Networks by name, without their weights: this package's, torchvision's and timm's.

All take normalised images and return logits. This package's networks are the files of `networks/`. Each is traceable by
`torch.fx` and keeps batch normalisation as a module right behind its convolution, so that it can be folded for
inference.
"""

import difflib
import functools
import importlib
import warnings
from typing import Any

from torch import nn

from crossfool.errors import UserError, brief, unknown_name
from crossfool.models import network_files

# torchvision's transformers whose published weights have positions for more than 224 pixels
IMAGE_SIDES = {"vit_h_14": 518}


def crossfool_network(name: str) -> nn.Module:
    """Build a network of this package, its random weights drawn from torch's global generator.

    Raises:
        UserError: no such network.
    """
    declared = network_files.find_network(name)
    network: nn.Module = getattr(importlib.import_module(declared.module), declared.class_name)(*declared.arguments)
    return network


def build(name: str, library: str) -> nn.Module:
    """Build a network, its weights not yet loaded.

    Args:
        name: As `library` calls the network.
        library: crossfool, torchvision or timm.

    Raises:
        UserError: timm is not installed, or does not know the model; or there is no such library.
    """
    if library == "crossfool":
        return crossfool_network(name)
    if library == "torchvision":
        from torchvision import models

        # these two were published with another normalisation, which they undo at their input
        ported = name in ("googlenet", "inception_v3")
        extra: dict[str, Any] = {"init_weights": False, "transform_input": True} if ported else {}
        if name in IMAGE_SIDES:
            extra["image_size"] = IMAGE_SIDES[name]
        try:
            network: nn.Module = models.get_model(name, weights=None, **extra)
            return network
        except ValueError:
            raise unknown_name("network of torchvision", name, models.list_models()) from None
    if library != "timm":
        raise unknown_name("library", library, ("crossfool", "torchvision", "timm"))
    full_name, timm = timm_name(name), timm_library()
    try:
        with warnings.catch_warnings(action="ignore"):  # about names that timm has replaced
            network = timm.create_model(full_name, pretrained=False)
    except Exception as error:  # timm's networks raise many kinds
        raise UserError(f"{name}: timm cannot build {full_name} ({brief(error)})") from None
    return network


def timm_name(name: str) -> str:
    """timm's name of a model, `architecture` or `architecture.tag`: today's, where the name is an old one.

    Args:
        name: As params.yaml has it, with the tag behind two underscores: `timm_resnet50__a1_in1k`.

    Raises:
        UserError: timm is not installed, or has no such model or tag; the line names the nearest.
    """
    registry = timm_library().models
    architecture, _, tag = name.removeprefix("timm_").replace("__", ".", 1).partition(".")
    replaced = registry.get_deprecated_models() if hasattr(registry, "get_deprecated_models") else _deprecated(registry)
    if architecture in replaced:
        if replaced[architecture] is None:
            raise UserError(f"{name}: timm has no such model any more; take another of timm.list_models()")
        architecture, _, new_tag = str(replaced[architecture]).partition(".")
        tag = tag or new_tag
    if not registry.is_model(architecture):
        valid_names = _timm_names()
        if not difflib.get_close_matches(name, valid_names, n=1):
            raise UserError(f"unknown model {name!r}: timm has no such model; see timm.list_models()")
        raise unknown_name("model", name, valid_names, "timm has no such model")
    tags = [full.partition(".")[2] for full in registry.get_arch_pretrained_cfgs(architecture)]
    if tag and tag not in tags:
        valid = [f"timm_{architecture}__{other}" if other else f"timm_{architecture}" for other in tags]
        raise unknown_name("model", name, valid, f"timm has {architecture} with no tag {tag}")
    return f"{architecture}.{tag}" if tag else architecture


@functools.cache
def _timm_names() -> list[str]:
    """Names of all of timm's models, as params.yaml has them."""
    registry = timm_library().models
    names = [*registry.list_models(), *registry.list_models(include_tags=True)]  # old names are in neither
    return sorted({f"timm_{name.replace('.', '__')}" for name in names})


def _deprecated(registry: Any) -> dict[str, str | None]:
    """Old names of timm's models -> today's, for a timm without `get_deprecated_models`."""
    names: dict[str, str | None] = registry._registry._deprecated_models
    return names


def timm_library() -> Any:
    """The timm package.

    Raises:
        UserError: it is not installed.
    """
    try:
        import timm
    except ImportError:
        raise UserError("models named timm_* need the timm package: pip install --editable '.[timm]'") from None
    return timm
