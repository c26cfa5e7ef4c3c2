"""Why a state dict does not fit a network: names that are missing, unexpected, or of another shape or kind."""

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
COUNTS = {"n_averaged", "num_updates", "decay", "step", "global_step", "epoch", "iteration"}  # of one number


@runtime_checkable
class Adapting(Protocol):
    """A network whose published weights have other shapes than its own."""

    def adapted(self, state: dict[str, Tensor]) -> dict[str, Tensor]: ...


def normalisation_kind(key: str, value: Any) -> str | None:
    """Which normalisation a tensor beside the weights is: `mean`, `std`, or none."""
    if not isinstance(value, Tensor) or value.is_nested or value.layout != torch.strided or value.is_meta:
        return None
    if value.numel() > 4 or not value.is_floating_point():
        return None
    return next((kind for kind, pattern in NORMALISATION.items() if pattern.search(key)), None)


def _aside(key: str, value: Any) -> bool:
    """Whether something beside the weights is none: a normalisation, a count, or no tensor at all."""
    if not isinstance(value, Tensor):
        return True
    if value.is_nested:
        return False
    return normalisation_kind(key, value) is not None or (
        value.ndim < 2 and value.numel() == 1 and key.split(".")[-1] in COUNTS
    )


def _odd(key: str, value: Tensor, own: Tensor) -> str:
    """Why a tensor cannot be a network's weight, whatever its shape; "" where it can."""
    if type(value) not in (Tensor, nn.Parameter):  # spread over processes, packed by a quantiser, ...
        return f"is a {type(value).__name__}"
    if value.is_quantized:
        return f"is quantised ({value.dtype})"
    if value.is_nested or value.layout != torch.strided:
        return f"is no dense tensor ({'nested' if value.is_nested else value.layout})"
    if value.is_meta:
        return "has no values (device meta)"
    alike = value.is_floating_point() == own.is_floating_point() and not value.is_complex()
    return "" if alike or (counts_batches(key) and not value.is_complex()) else f"is {value.dtype}"


def adapted(network: nn.Module, state: dict[str, Any]) -> dict[str, Any]:
    return network.adapted(state) if isinstance(network, Adapting) else state


@dataclass(frozen=True)
class Misfit:
    """A name that does not fit: `kind` (missing, extra, shape, or of another kind), and what is wrong in words."""

    kind: str
    key: str
    words: str

    @property
    def short(self) -> str:
        return self.words if self.kind == "shape" else self.key


def misfits(one: Candidate, network: nn.Module, own: Mapping[str, Tensor]) -> list[Misfit]:
    for key, value in one.state.items():
        if not isinstance(value, Tensor):
            return [Misfit("kind", key, f"{key} is a {type(value).__name__}, expected a tensor")]
        why = _odd(key, value, own[key])
        if why:
            wanted = f"expected a dense tensor of {str(own[key].dtype).removeprefix('torch.')}"
            return [Misfit("kind", key, f"{key} {why}, {wanted}; convert it and save the state dict again")]
    state = adapted(network, one.state)
    found = []
    for key, tensor in own.items():
        expected, shape = tuple(tensor.shape), tuple(state[key].shape) if key in state else None
        if shape is not None and shape != expected:
            found.append(Misfit("shape", key, f"{key} has shape {shape}, expected {expected}"))
        elif shape is None and not counts_batches(key):
            found.append(Misfit("missing", key, f"{key} is missing, expected with shape {expected}"))
    for key, value in one.rest.items():
        if not _aside(key, value):
            shown = "" if value.is_nested else f" of shape {tuple(value.shape)}"
            found.append(Misfit("extra", key, f"{key}{shown} is not expected at all"))
    return found


def no_state_fits(
    name: str, network: nn.Module, own: Mapping[str, Tensor], found: list[Candidate], checkpoint: Mapping[str, Any]
) -> UserError:
    """Why no state fits: of the one that is nearest, the first misfit, and how many there are of each kind."""
    if not found:
        given = checkpoint.get("state_dict", checkpoint)
        if not isinstance(given, Mapping):
            return UserError(f"{name}: state_dict is a {type(given).__name__}, expected tensors by name")
        keys = f"its keys are {first_names(map(str, checkpoint))}" if checkpoint else "it is empty"
        return UserError(f"{name}: weights: the file holds no tensors by name ({keys}), expected a state dict")
    best = max(found, key=lambda one: (len(one.state), len(one.rest)))
    wrong = misfits(best, network, own)
    first = f"{name}: weights: {wrong[0].words}"
    if wrong[0].kind == "kind":
        return UserError(first)
    said = []
    for kind, words in (("missing", "missing"), ("extra", "not expected"), ("shape", "of another shape")):
        of_kind = [misfit.short for misfit in wrong if misfit.kind == kind]
        said += [f"{len(of_kind)} {words} ({first_names(of_kind)})"] if of_kind else []
    where = f" in {best.shown}" if best.words else ""
    total = f"of {len(own)} names{where}: {', '.join(said)}"
    return UserError("; ".join((first, total, _advice(name, best, own, wrong))))


def _advice(name: str, best: Candidate, own: Mapping[str, Tensor], wrong: list[Misfit]) -> str:
    """What to give in its place: weights for as many classes, or of the same architecture."""
    pairs = [(tuple(best.state[key].shape), tuple(own[key].shape)) for key in own if key in best.state]
    other = [(shape, expected) for shape, expected in pairs if shape != expected]
    classes = {(shape[:1], expected[:1]) for shape, expected in other}
    if len(other) == len(wrong) and len(classes) == 1 and all(a[1:] == b[1:] and a for a, b in other):
        ((found, expected),) = classes
        if expected[0] in (10, 1000):
            return f"these are weights for {found[0]} classes, give those of {name} for {expected[0]}"
    return f"these are the weights of another architecture, give those of {name}"
