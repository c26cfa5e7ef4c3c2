"""Misfits of a state dict and a network: names that are missing, unexpected, or of another shape or kind."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from crossfool.errors import UserError
from crossfool.models.weights.state_dict_search import Candidate, counts_batches, first_names

NORMALISATION = {
    "mean": re.compile(r"(?:^|\.)(?:(?:new_|pixel_|image_|img_|input_|_)?mean|mu)$"),
    "std": re.compile(r"(?:^|\.)(?:(?:new_|pixel_|image_|img_|input_|_)?std|sigma)$"),
}
# last parts of names of single numbers that stand beside weights and are none
COUNTERS = {"n_averaged", "num_updates", "decay", "step", "global_step", "epoch", "iteration"}


@runtime_checkable
class Adapting(Protocol):
    """A network whose published weights have other shapes than its own."""

    def adapted(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Bring published weights to the network's own shapes."""


def normalisation_kind(key: str, value: Any) -> str | None:
    """Kind of normalisation that a value beside the weights is: `mean`, `std`, or None."""
    if not isinstance(value, Tensor) or value.is_nested or value.layout != torch.strided or value.is_meta:
        return None
    if value.numel() > 4 or not value.is_floating_point():
        return None
    return next((kind for kind, pattern in NORMALISATION.items() if pattern.search(key)), None)


def _no_weight(key: str, value: Any) -> bool:
    """Whether a value beside the state is no weight: a normalisation, a counter, or no tensor at all."""
    if not isinstance(value, Tensor):
        return True
    if value.is_nested:
        return False
    return normalisation_kind(key, value) is not None or (
        value.ndim < 2 and value.numel() == 1 and key.split(".")[-1] in COUNTERS
    )


def _unusable(key: str, value: Tensor, expected: Tensor) -> str:
    """Reason why a tensor cannot be a network's weight, whatever its shape; "" where it can."""
    if type(value) not in (Tensor, nn.Parameter):  # spread over processes, packed by a quantiser, ...
        return f"is a {type(value).__name__}"
    if value.is_quantized:
        return f"is quantised ({value.dtype})"
    if value.is_nested or value.layout != torch.strided:
        return f"is no dense tensor ({'nested' if value.is_nested else value.layout})"
    if value.is_meta:
        return "has no values (device meta)"
    alike = value.is_floating_point() == expected.is_floating_point() and not value.is_complex()
    return "" if alike or (counts_batches(key) and not value.is_complex()) else f"is {value.dtype}"


def adapted(network: nn.Module, state: dict[str, Any]) -> dict[str, Any]:
    """Bring a published state to a network's own shapes, where the network has others (see `Adapting`)."""
    return network.adapted(state) if isinstance(network, Adapting) else state


@dataclass(frozen=True)
class Misfit:
    """A name that does not fit.

    Attributes:
        kind: missing, extra, shape, or kind (the value is no tensor, or of another kind).
        key: The name.
        reason: What is wrong, for an error.
    """

    kind: str
    key: str
    reason: str

    @property
    def short(self) -> str:
        """The name, with its shapes where they are wrong."""
        return self.reason if self.kind == "shape" else self.key


def misfits(candidate: Candidate, network: nn.Module, expected: Mapping[str, Tensor]) -> list[Misfit]:
    """All names of a candidate that do not fit a network; only the first, where a value is of another kind.

    Args:
        candidate: The state, and what stands beside it.
        network: The network.
        expected: The network's own state dict.
    """
    for key, value in candidate.state.items():
        if not isinstance(value, Tensor):
            return [Misfit("kind", key, f"{key} is a {type(value).__name__}, expected a tensor")]
        reason = _unusable(key, value, expected[key])
        if reason:
            wanted = f"expected a dense tensor of {str(expected[key].dtype).removeprefix('torch.')}"
            return [Misfit("kind", key, f"{key} {reason}, {wanted}; convert it and save the state dict again")]
    state = adapted(network, candidate.state)
    errors = []
    for key, tensor in expected.items():
        wanted_shape, shape = tuple(tensor.shape), tuple(state[key].shape) if key in state else None
        if shape is not None and shape != wanted_shape:
            errors.append(Misfit("shape", key, f"{key} has shape {shape}, expected {wanted_shape}"))
        elif shape is None and not counts_batches(key):
            errors.append(Misfit("missing", key, f"{key} is missing, expected with shape {wanted_shape}"))
    for key, value in candidate.rest.items():
        if not _no_weight(key, value):
            shown = "" if value.is_nested else f" of shape {tuple(value.shape)}"
            errors.append(Misfit("extra", key, f"{key}{shown} is not expected at all"))
    return errors


def no_fit_error(
    name: str,
    network: nn.Module,
    expected: Mapping[str, Tensor],
    candidates: list[Candidate],
    checkpoint: Mapping[str, Any],
) -> UserError:
    """An error for a checkpoint in which no state fits: the nearest state's first misfit, and counts of each kind.

    Args:
        name: The model's, for the error.
        network: The network.
        expected: The network's own state dict.
        candidates: All states in the checkpoint.
        checkpoint: The file's content.
    """
    if not candidates:
        container = checkpoint.get("state_dict", checkpoint)
        if not isinstance(container, Mapping):
            return UserError(f"{name}: state_dict is a {type(container).__name__}, expected tensors by name")
        keys = f"its keys are {first_names(map(str, checkpoint))}" if checkpoint else "it is empty"
        return UserError(f"{name}: weights: the file holds no tensors by name ({keys}), expected a state dict")
    best = max(candidates, key=lambda candidate: (len(candidate.state), len(candidate.rest)))
    wrong = misfits(best, network, expected)
    first = f"{name}: weights: {wrong[0].reason}"
    if wrong[0].kind == "kind":
        return UserError(first)
    counts = []
    for kind, label in (("missing", "missing"), ("extra", "not expected"), ("shape", "of another shape")):
        names = [misfit.short for misfit in wrong if misfit.kind == kind]
        counts += [f"{len(names)} {label} ({first_names(names)})"] if names else []
    where = f" in {best.description}" if best.path else ""
    total = f"of {len(expected)} names{where}: {', '.join(counts)}"
    return UserError("; ".join((first, total, _advice(name, best, expected, wrong))))


def _advice(name: str, best: Candidate, expected: Mapping[str, Tensor], wrong: list[Misfit]) -> str:
    """Advice on which weights to give instead: those for as many classes, or of the same architecture."""
    pairs = [(tuple(best.state[key].shape), tuple(expected[key].shape)) for key in expected if key in best.state]
    unequal = [(shape, wanted) for shape, wanted in pairs if shape != wanted]
    classes = {(shape[:1], wanted[:1]) for shape, wanted in unequal}
    if len(unequal) == len(wrong) and len(classes) == 1 and all(a[1:] == b[1:] and a for a, b in unequal):
        ((given, wanted),) = classes
        if wanted[0] in (10, 1000):
            return f"these are weights for {given[0]} classes, give those of {name} for {wanted[0]}"
    return f"these are the weights of another architecture, give those of {name}"
