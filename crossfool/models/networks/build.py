"""Networks, their weights not yet loaded: torchvision's, timm's and the zoo's own.

The zoo's own are in this folder. All take normalised images and return logits.

Each is traceable by `torch.fx` and keeps batch normalisation as a module right behind its
convolution, so that it can be folded for inference.
"""

import difflib
import functools
import importlib
import warnings
from typing import Any

from torch import nn

from crossfool.errors import UserError, brief, unknown

NETWORKS: dict[str, tuple[str, str, tuple[int, ...]]] = {  # name -> module, class, arguments
    "fnn0": ("fnn", "FNN", (0,)),
    "fnn2": ("fnn", "FNN", (2,)),
    "fnn4": ("fnn", "FNN", (4,)),
    "fnn8": ("fnn", "FNN", (8,)),
    "lenet": ("lenet", "LeNet", ()),
    "resnet20": ("resnet_cifar", "ResNetCIFAR", (20,)),
    "resnet44": ("resnet_cifar", "ResNetCIFAR", (44,)),
    "resnet56": ("resnet_cifar", "ResNetCIFAR", (56,)),
    "densenet": ("densenet_cifar", "DenseNetCIFAR", ()),
    "efficientnet_lite0": ("efficientnet_lite", "EfficientNetLite", (0,)),
    "efficientnet_lite1": ("efficientnet_lite", "EfficientNetLite", (1,)),
    "efficientnet_lite2": ("efficientnet_lite", "EfficientNetLite", (2,)),
}


SIDES = {"vit_h_14": 518}  # torchvision's transformers whose published weights have positions for more than 224 pixels


def own(name: str) -> nn.Module:
    """A network of this package with random weights (of torch's global generator).

    Raises:
        UserError: no such network.
    """
    if name not in NETWORKS:
        raise unknown("network", name, NETWORKS)
    module, network, arguments = NETWORKS[name]
    built: nn.Module = getattr(importlib.import_module(f"{__package__}.{module}"), network)(*arguments)
    return built


def build(name: str, library: str) -> nn.Module:
    """The network of a model, its weights not yet loaded.

    Raises:
        UserError: timm is not installed, or does not know the model; or there is no such library.
    """
    if library == "crossfool":
        return own(name)
    if library == "torchvision":
        from torchvision import models

        # these two were published with another normalisation, which they undo at their input
        ported = name in ("googlenet", "inception_v3")
        extra: dict[str, Any] = {"init_weights": False, "transform_input": True} if ported else {}
        if name in SIDES:
            extra["image_size"] = SIDES[name]
        try:
            result: nn.Module = models.get_model(name, weights=None, **extra)
            return result
        except ValueError:
            raise unknown("network of torchvision", name, models.list_models()) from None
    if library != "timm":
        raise unknown("library", library, ("crossfool", "torchvision", "timm"))
    made, timm = timm_name(name), timm_library()
    try:
        with warnings.catch_warnings(action="ignore"):  # of names that timm would rather have today
            network: nn.Module = timm.create_model(made, pretrained=False)
    except Exception as error:  # timm's networks raise many kinds
        raise UserError(f"{name}: timm cannot build {made} ({brief(error)})") from None
    return network


def timm_name(name: str) -> str:
    """timm's own name of a model, `architecture` or `architecture.tag`: today's, where the name is an old one.

    Args:
        name: As params.yaml has it, a tag behind two underscores: `timm_resnet50__a1_in1k`.

    Raises:
        UserError: timm is not installed, or has no such model or tag; the line names the nearest.
    """
    registry = timm_library().models
    architecture, _, tag = name.removeprefix("timm_").replace("__", ".", 1).partition(".")
    old = registry.get_deprecated_models() if hasattr(registry, "get_deprecated_models") else _deprecated(registry)
    if architecture in old:
        if old[architecture] is None:
            raise UserError(f"{name}: timm has no such model any more; take another of timm.list_models()")
        architecture, _, of_old = str(old[architecture]).partition(".")
        tag = tag or of_old
    if not registry.is_model(architecture):
        known = _timm_names()
        if not difflib.get_close_matches(name, known, n=1):
            raise UserError(f"unknown model {name!r}: timm has no such model; see timm.list_models()")
        raise unknown("model", name, known, "timm has no such model")
    tags = [full.partition(".")[2] for full in registry.get_arch_pretrained_cfgs(architecture)]
    if tag and tag not in tags:
        valid = [f"timm_{architecture}__{own}" if own else f"timm_{architecture}" for own in tags]
        raise unknown("model", name, valid, f"timm has {architecture} with no tag {tag}")
    return f"{architecture}.{tag}" if tag else architecture


@functools.cache
def _timm_names() -> list[str]:
    """All of timm's models, as params.yaml has them."""
    registry = timm_library().models
    known = [*registry.list_models(), *registry.list_models(include_tags=True)]  # old names are in neither
    return sorted({f"timm_{name.replace('.', '__')}" for name in known})


def _deprecated(registry: Any) -> dict[str, str | None]:
    """Old names of timm's models and today's, of a timm that does not tell them."""
    found: dict[str, str | None] = registry._registry._deprecated_models
    return found


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
