"""Networks, their weights not yet loaded: torchvision's, timm's and the zoo's own.

The zoo's own are in this folder. All take normalised images and return logits.

Each is traceable by `torch.fx` and keeps batch normalisation as a module right behind its
convolution, so that it can be folded for inference.
"""

import importlib
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from transferbench.errors import UserError, unknown

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


@runtime_checkable
class Adapting(Protocol):
    """A network whose published weights have other shapes than its own."""

    def adapted(self, state: dict[str, Tensor]) -> dict[str, Tensor]: ...


def own(name: str) -> nn.Module:
    """A network of this package with random weights (of torch's global generator).

    Raises:
        UserError: no such network.
    """
    if name not in NETWORKS:
        raise unknown("network", name, NETWORKS)
    module, network, arguments = NETWORKS[name]
    built: nn.Module = getattr(importlib.import_module(f"{__name__}.{module}"), network)(*arguments)
    return built


def build(name: str, library: str) -> nn.Module:
    """The network of a model, its weights not yet loaded.

    Raises:
        UserError: timm is not installed, or does not know the model.
    """
    if library == "transferbench":
        return own(name)
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
        raise UserError("models named timm_* need the timm package: pip install --editable '.[timm]'") from None
    return timm


def _plain(value: Tensor) -> bool:
    """Whether a tensor's values are real numbers as they stand, of whatever width."""
    return value.is_floating_point() and value.layout == torch.strided


def load_published(name: str, network: nn.Module, state: Mapping[str, Any]) -> None:
    """Load a published state dict into a network of this package, in place.

    Takes what training scripts save: the state dict nested under `state_dict`, its names with the
    `module.` of DataParallel before them.

    Raises:
        UserError: a tensor is missing, has another shape, holds no plain numbers, or has no place in the network;
            names the first.
    """
    state = state.get("state_dict", state)
    if not isinstance(state, Mapping):
        raise UserError(f"{name}: state_dict is a {type(state).__name__}, expected tensors by name")
    state = {str(key).removeprefix("module."): value for key, value in state.items()}
    for key, value in state.items():
        if not isinstance(value, Tensor):
            raise UserError(f"{name}: weights: {key} is a {type(value).__name__}, expected a tensor")
    if isinstance(network, Adapting):
        state = network.adapted(state)
    own = network.state_dict()
    advice = f"these are the weights of another architecture, give those of {name}"
    for key, tensor in own.items():
        expected, found = tuple(tensor.shape), tuple(state[key].shape) if key in state else None
        if found is not None and found != expected:
            raise UserError(f"{name}: weights: {key} has shape {found}, expected {expected}; {advice}")
        if found is not None and tensor.is_floating_point() and not _plain(state[key]):
            kind = str(state[key].dtype if state[key].layout == torch.strided else state[key].layout)
            raise UserError(
                f"{name}: weights: {key} is {kind.removeprefix('torch.')}, expected plain floating-point numbers; "
                "give the weights as they were before they were quantised or otherwise converted"
            )
        # a count of batches that inference does not use; absent from files of old versions of torch
        if found is None and not key.endswith(".num_batches_tracked"):
            raise UserError(f"{name}: weights: {key} is missing, expected with shape {expected}; {advice}")
    for key, value in state.items():
        if key not in own:
            raise UserError(f"{name}: weights: {key} of shape {tuple(value.shape)} is not expected at all; {advice}")
    network.load_state_dict({key: state.get(key, tensor) for key, tensor in own.items()})
