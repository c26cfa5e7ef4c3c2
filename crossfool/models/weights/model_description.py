"""A model's description for its weights file: the registry's values, completed from timm's configuration."""

from typing import Any

from torch import nn

from crossfool.errors import UserError
from crossfool.models import build
from crossfool.models.spec import Spec


def describe(spec: Spec, network: nn.Module) -> dict[str, Any]:
    """Describe a model as a weights file's metadata do: name, library, preprocessing (pixels 0..255), parameters.

    Raises:
        UserError: a timm model of other classes than ImageNet's 1000, or a `Spec` that lacks a mean, a std or a side.
    """
    description = {
        "name": spec.name,
        "family": spec.family,
        "library": spec.library,
        "mean": list(spec.mean),
        "std": list(spec.std),
        "side": spec.side,
        "interpolation": spec.interpolation,
        "published_top1": spec.published_top1,
        "published_preprocessing": spec.published_preprocessing,
        "parameters": getattr(network, "parameter_count", sum(p.numel() for p in network.parameters())),
    }
    if spec.network:
        description["network"] = spec.network
    if spec.library == "timm":
        config = timm_config(spec)
        description |= {
            "mean": list(spec.mean) or [255 * value for value in config["mean"]],
            "std": list(spec.std) or [255 * value for value in config["std"]],
            "side": spec.side or config["input_size"][-1],
            "interpolation": "bicubic" if config["interpolation"] == "bicubic" else "bilinear",
        }
    if not description["mean"] or not description["std"] or not description["side"]:
        raise UserError(
            f"{spec.name}: its Spec in registry.py lacks a mean, a std or a side; add what the model expects"
        )
    return description


def timm_config(spec: Spec) -> dict[str, Any]:
    """timm's description of a model: normalisation, input size, classes, and where the weights are published.

    Raises:
        UserError: timm has no such model, or the model has not ImageNet's 1000 classes.
    """
    name, models = build.timm_name(spec.network or spec.name), build.timm_library().models
    config = models.get_pretrained_cfg(name)
    if config is None:
        raise UserError(f"{spec.name}: timm says nothing of the images that {name} expects; take another model")
    if config.num_classes != 1000:
        tagged = models.get_arch_pretrained_cfgs(name.partition(".")[0])
        fitting = [full_name for full_name, other in tagged.items() if other.num_classes == 1000]
        instead = f"; take timm_{fitting[0].replace('.', '__')}" if fitting else ""
        raise UserError(f"{spec.name} has {config.num_classes} classes; expected a model of ImageNet's 1000{instead}")
    entries: dict[str, Any] = config.to_dict()
    return entries
