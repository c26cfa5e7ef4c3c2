"""The package's own networks, each declared in a file of `networks/`: the folder is their registry. Imports no torch.

A file has classes, and says in NETWORKS which networks it builds of them: name -> values of a `Spec` and a `Network`
that are not their defaults. What all its networks have in common stands in FAMILY.
"""

import dataclasses
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crossfool.errors import UserError, unknown_name
from crossfool.models.defended_models import find_defended
from crossfool.models.own_models import find_own
from crossfool.models.spec import Spec
from crossfool.part_files import declaration, part_names, record, summary

_FOLDER = Path(__file__).parent / "networks"
_SPEC_KEYS = {key.name for key in dataclasses.fields(Spec)} - {"name", "library", "seed"}
_PREFIXES = ("timm_", "robust_")  # of other libraries' models


@dataclass(frozen=True)
class Network:
    """A network of this package, as its file declares it.

    Attributes:
        part: Name of its module in `networks/`.
        class_name: Name of its class there.
        spec: Its specification as a model.
        cite: The paper that it is from.
        licence: Licence of its published weights; "" where it has none.
        arguments: Arguments that the class is called with.
        parameters: Number of its parameters as it is built here; None where it was not counted.
        operations: Floating-point operations of one image's forward pass; None where they were not counted.
        accuracies: Data set -> top-1 accuracy of the published weights on all its images in percent, where it is known;
            the stage `predict` refuses any other.
    """

    part: str
    class_name: str
    spec: Spec
    cite: str
    licence: str = ""
    arguments: tuple[int | str, ...] = ()
    parameters: int | None = None
    operations: int | None = None
    accuracies: Mapping[str, float] = field(default_factory=dict)

    @property
    def module(self) -> str:
        """Dotted name of its module."""
        beside = find_own(self.spec.name) or find_defended(self.spec.name)
        folder = "" if beside else f"{_FOLDER.name}."
        return f"{__package__}.{folder}{self.part}"

    @property
    def path(self) -> str:
        """Path of its module, below the repository."""
        return f"crossfool/models/{_FOLDER.name}/{self.part}.py"

    @property
    def summary(self) -> str:
        """First line of the docstring of the network's file."""
        return summary(_FOLDER / f"{self.part}.py")

    @property
    def definition(self) -> dict[str, Any]:
        """Module, class and arguments by which the network is built."""
        return {"part": self.part, "class_name": self.class_name, "arguments": self.arguments}


_NETWORK_KEYS = {key.name for key in dataclasses.fields(Network)} - {"part", "spec"}


def networks() -> dict[str, Network]:
    """The networks of all files by name, but those of files that declare wrongly: see `problems`."""
    return _read()[0]


def problems() -> list[UserError]:
    """Errors in the declarations of `networks/`; an unfinished file concerns nobody who does not name its networks."""
    return _read()[1]


@functools.cache
def _read() -> tuple[dict[str, Network], list[UserError]]:
    found: dict[str, Network] = {}
    wrong = []
    for part in part_names(_FOLDER):
        try:
            declared = _declared(part)
        except UserError as error:
            wrong.append(error)
            continue
        for name, network in declared.items():
            if name in found:
                wrong.append(UserError(f"{network.path} declares {name}, and so does {found[name].path}; rename one"))
            found.setdefault(name, network)
    return found, wrong


def _declared(part: str) -> Mapping[str, Network]:
    """The networks that a file declares, by name."""
    path = _FOLDER / f"{part}.py"
    common, own = declaration(path, "FAMILY"), declaration(path, "NETWORKS")
    declared = {}
    for name, values in own.items():
        where = f"{path}: NETWORKS: {name}"
        if not re.fullmatch(r"[A-Za-z0-9_]+", name) or name.startswith(_PREFIXES):
            others = " or ".join(_PREFIXES)
            raise UserError(f"{where}: a name has letters, digits and _ only, and does not begin with {others}")
        values = {**common, **values}
        for key in values:
            if key not in _SPEC_KEYS | _NETWORK_KEYS:
                raise UserError(f"{where}: {unknown_name('key', key, _SPEC_KEYS | _NETWORK_KEYS)}")
        of_spec = {key: value for key, value in values.items() if key in _SPEC_KEYS}
        spec = record(Spec, {"name": name, "library": "crossfool", **of_spec}, where)
        of_network = {key: value for key, value in values.items() if key in _NETWORK_KEYS}
        declared[name] = record(Network, {"part": part, "spec": spec, **of_network}, where)
    return declared


def find_network(name: str) -> Network:
    """The network of a name, or of the key of a model that is the user's own or defended.

    Raises:
        UserError: no such network; or, of a file that may have it, what it declares wrongly.
    """
    own = find_own(name)
    if own is not None:
        return Network("own_network", "build", own.spec, cite="", arguments=(own.key,))
    if defended := find_defended(name):
        return Network("defended_network", "build", defended.spec, cite="", arguments=(defended.key,))
    if "@" in name:
        raise UserError(f"{name.partition('@')[0]} is no model here, or its code changed; run `dvc repro`")
    if name not in networks():
        raise next(iter(problems()), unknown_name("network", name, networks()))
    return networks()[name]


def accuracies(name: str) -> Mapping[str, float]:
    """Known top-1 accuracies of a model in percent, by data set; none of another library's models."""
    return networks()[name].accuracies if name in networks() else {}


def modules(name: str, library: str) -> tuple[str, ...]:
    """Dotted names of this package's modules that define a network; none where it is another library's.

    Args:
        name: As `library` calls the network.
        library: crossfool, torchvision or timm.

    Raises:
        UserError: this package has no such network.
    """
    if library != "crossfool":
        return ()
    if defended := find_defended(name):
        plain = defended.plain
        inner = modules(plain.network or plain.name, plain.library)
        return (find_network(name).module, defended.declared.module, *inner)
    return (find_network(name).module,)
