"""The parts of attacks, found by their names: a folder is a registry, and a module's name the part's. Imports no torch.

The user's own parts in `own/` are found as the package's are, see `own_parts`.

A static import would make every cell depend on every part: an edit of one estimator would outdate the cells of all.
So parts are imported by name, those alone that a row has, and `RowParts.modules` names them for the row's plan.
"""

import functools
import importlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossfool.attacks import own_parts
from crossfool.attacks.part import BasePart, GradientPart, InputPart, LossPart, NoisePart, UpdatePart
from crossfool.errors import UserError, unknown_name
from crossfool.part_files import part_names

# kind of part, which is the row's key that names one (an input transformation is named by a key of its own) -> folder
FOLDERS = {"gradient": "gradients", "noise": "noise", "input": "inputs", "update": "updates", "loss": "losses"}
DEFAULTS = {"gradient": "plain", "update": "sign", "loss": "cross_entropy"}  # where a row names none
BASES: dict[str, type[BasePart]] = {
    "gradient": GradientPart,
    "noise": NoisePart,
    "input": InputPart,
    "update": UpdatePart,
    "loss": LossPart,
}
ADAPTER = "crossfool.attacks.torchattack.adapter"  # the module of another library's attacks
_ROOT = Path(__file__).parent


_own: dict[tuple[str, str], type[Any]] = {}  # (kind, name) -> class of each part of the user's own that rows named


@functools.cache
def package_names(kind: str) -> tuple[str, ...]:
    """Names of the package's parts of a kind, sorted. Nothing is imported."""
    return tuple(part_names(_ROOT / FOLDERS[kind]))


def names(kind: str) -> tuple[str, ...]:
    """Names of all parts of a kind, the user's own as well, sorted. Nothing is imported."""
    return tuple(sorted({*package_names(kind), *own_parts.own_names(FOLDERS[kind])}))


def module(kind: str, name: str) -> str:
    """Dotted name of a part's module."""
    return f"crossfool.attacks.{FOLDERS[kind]}.{name.replace('-', '_')}"


def load(kind: str, name: object) -> type[Any]:
    """The class of a part, whose module is imported.

    Raises:
        UserError: there is no such part, its module has no class of it, or it is one of the user's own that is refused.
    """
    packaged, own = package_names(kind), own_parts.own_names(FOLDERS[kind])
    module_name = name.replace("-", "_") if isinstance(name, str) else ""
    if module_name in packaged and module_name in own:
        file = own_parts.shown(FOLDERS[kind], module_name)
        raise UserError(
            f"{file}: {module_name} is the name of a part of the package; rename the file, as to my_{module_name}.py"
        )
    if module_name in packaged:
        return _load_packaged(kind, module_name)
    if module_name in own:
        return _load_own(kind, module_name)
    own_parts.refuse_misnamed(FOLDERS[kind], name)
    raise unknown_name(kind, name, sorted({*packaged, *own}))


def _load_packaged(kind: str, name: str) -> type[Any]:
    """The class of a part of the package.

    Raises:
        UserError: its module has no class of it.
    """
    part = getattr(importlib.import_module(module(kind, name)), "Part", None)
    if not (isinstance(part, type) and issubclass(part, BASES[kind])):
        raise UserError(f"{module(kind, name)} has no class Part({BASES[kind].__name__}); see docs/contributing.md")
    return part


def _load_own(kind: str, name: str) -> type[Any]:
    """The class of a part of the user's own.

    Raises:
        UserError: the file fails, or has no class of the part; or rows cannot have it by its name.
    """
    folder, base = FOLDERS[kind], BASES[kind]
    file = own_parts.shown(folder, name)
    if (kind, name) not in _own:
        part = getattr(own_parts.import_part(folder, name, FOLDERS.values()), "Part", None)
        if not (isinstance(part, type) and issubclass(part, base)) or part.__module__ != module(kind, name):
            raise UserError(f"{file} has no class Part({base.__name__}); see {own_parts.PAGE}")
        if kind == "input" and name not in part.model_fields:
            raise UserError(f"{file}: Part has no field {name}, the key by which a row has it; add it")
        if kind == "input" and any(name in other.model_fields for of in FOLDERS for other in every(of).values()):
            raise UserError(f"{file}: {name} is a key of another part, whose rows would have this one; rename the file")
        own_parts.check_results(part, base, file)
        _own[kind, name] = part
    return _own[kind, name]


def every(kind: str) -> dict[str, type[Any]]:
    """Name -> class of the package's parts of a kind, whose modules are imported, and of those that rows have named."""
    own = {name: part for (of, name), part in _own.items() if of == kind}
    return {name: _load_packaged(kind, name) for name in package_names(kind)} | own


def key_names() -> list[str]:
    """Keys of all parts, sorted; of the user's own parts that no row has named, the keys that are their names."""
    keys = {key for kind in FOLDERS for part in every(kind).values() for key in part.model_fields}
    return sorted(keys.union(names("input")))


@dataclass(frozen=True)
class RowParts:
    """The parts of a row.

    Attributes:
        gradient: The estimator.
        noise: What it draws; None where it adds no noise.
        inputs: Input transformations, in the order of their application.
        update: The update rule.
        loss: The loss.
    """

    gradient: GradientPart
    noise: NoisePart | None
    inputs: tuple[InputPart, ...]
    update: UpdatePart
    loss: LossPart

    def __iter__(self) -> Iterator[BasePart]:
        noise = () if self.noise is None else (self.noise,)
        return iter((self.gradient, *noise, *self.inputs, self.update, self.loss))

    @property
    def evaluations(self) -> int:
        """Gradient evaluations an image, model and step."""
        return self.gradient.evaluations * math.prod(part.evaluations for part in self.inputs)

    @property
    def takes_pool(self) -> bool:
        """Whether a part draws from the clean images of the whole subset."""
        return any(part.takes_pool for part in self.inputs)

    @property
    def modules(self) -> tuple[str, ...]:
        """Dotted names of the parts' modules; what these import themselves is not among them."""
        return tuple(type(part).__module__ for part in self)


def make(values: Mapping[str, Any]) -> RowParts:
    """The parts that a row's values name, with the values of their keys.

    Args:
        values: The row's keys `gradient`, `update`, `loss`, `noise`, and keys of parts; those that the parts do not
            have are ignored, see `selection`.

    Raises:
        UserError: there is no part of a name.
        pydantic.ValidationError: a value is missing, or none that its part takes.
    """
    return make_of(classes_of(values), values)


def make_of(classes: Mapping[str, type[Any]], values: Mapping[str, Any]) -> RowParts:
    """The parts of a row of the classes that `classes_of` found for its values; else as `make`."""
    made = {kind: _made(part, values) for kind, part in classes.items() if kind in BASES}
    inputs = [_made(part, values) for kind, part in classes.items() if kind not in BASES]
    return RowParts(made["gradient"], made.get("noise"), tuple(inputs), made["update"], made["loss"])


def classes_of(values: Mapping[str, Any]) -> dict[str, type[Any]]:
    """Classes of a row's parts: kind -> class, of input transformations key -> class. Arguments as for `make`."""
    named = {kind: load(kind, values[kind] if values.get(kind) else name) for kind, name in DEFAULTS.items()}
    noise = values.get("noise") or named["gradient"].noise
    if named["gradient"].noise:
        named["noise"] = load("noise", noise)
    inputs = {name: load("input", name) for name in names("input") if values.get(name) is not None}
    order = sorted(inputs, key=lambda name: (inputs[name].stage(), name))
    return named | {name: inputs[name] for name in order}


def _made(part: type[Any], values: Mapping[str, Any]) -> Any:
    return part.model_validate({key: values[key] for key in part.model_fields if values.get(key) is not None})
