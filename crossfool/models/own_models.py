"""Models of the user's own: their section of params.yaml, their files, and the register of those that are known.

The files lie in the folder `own/` of the project, which the stage `plan` depends on. A model's key is its name and a
hash of the files that define it: weights files and plans hold the key, so that changed code is never taken for what
was planned. Imports no torch.
"""

import ast
import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from crossfool.config import Count, NotNegative, Positive, Section, expand_path
from crossfool.errors import UserError, brief, unknown_name
from crossfool.models.spec import Spec
from crossfool.part_files import OWN

FOLDER = OWN.name  # at the top of the project, which the stage `plan` depends on
PAGE = "docs/your-own.md"
CLASSES = {"mnist": 10, "cifar10": 10, "imagenet": 1000}  # of each family
CHANNELS = {"mnist": 1}  # three of the other families
_INHERITED = "_CROSSFOOL_OWN_MODELS"  # environment variable by which worker processes know what their parent does
_SHOWN = 16  # digits of a hash


class OwnModel(Section):
    """A model of the user's own.

    Attributes:
        file: Python file, in the project's folder `own/`.
        function: Its function, or class, that is called without arguments and returns an `nn.Module`.
        weights: Weights file, in `own/`; elsewhere where `sha256` is given.
        sha256: That of the weights file.
        mean, std: Normalisation, a number a channel.
        pixels: The greatest pixel that mean and std are for, 255 or 1.
        side: Native input side in pixels.
        interpolation: How images of another side are resized to it.
        classes: Number of logits: the family's classes, or one more where the first is a background class.
    """

    file: str
    function: str = "build"
    weights: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    mean: tuple[NotNegative, ...]
    std: tuple[Positive, ...]
    pixels: Literal[255, 1] = 255
    side: Count
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    classes: Count | None = None

    @model_validator(mode="after")
    def _pixels_are_stated(self) -> "OwnModel":
        if self.pixels == 255 and any(value < 1 for value in self.std):
            raise ValueError(
                f"std is {list(self.std)}, as for pixels 0..1; add pixels: 1, or multiply mean and std by 255"
            )
        return self


@dataclass(frozen=True)
class OwnNetwork:
    """A model of the user's own, its files found and hashed.

    Attributes:
        name: The model's name.
        family: Data set whose classes it tells apart: mnist, cifar10 or imagenet.
        path: Its Python file.
        function: The function there that builds it.
        files: Path of each file of code that defines it, relative to `own/` -> sha256.
        outputs: Number of logits that the network gives.
        weights: Its weights file.
        mean, std: Per channel, in pixel values 0..255.
        side, interpolation: As in `OwnModel`.
    """

    name: str
    family: str
    path: str
    function: str
    files: Mapping[str, str]
    outputs: int
    weights: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    side: int
    interpolation: str

    @property
    def key(self) -> str:
        """The name, and a hash of what defines the network beside its weights."""
        parts = [dict(self.files), self.shown, self.function, self.outputs, self.side, len(self.mean)]
        return f"{self.name}@{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:_SHOWN]}"

    @property
    def shown(self) -> str:
        """The Python file, for messages and plans: `own/mynet.py`."""
        return f"{FOLDER}/{next(iter(self.files))}"

    @property
    def background(self) -> int:
        """Number of logits, the first ones, that are of no class of the data set."""
        return self.outputs - CLASSES[self.family]

    @property
    def spec(self) -> Spec:
        """The specification as a model, whose network is the key."""
        return Spec(
            self.name,
            self.family,
            "crossfool",
            network=self.key,
            mean=self.mean,
            std=self.std,
            side=self.side,
            interpolation=self.interpolation,
            version=FOLDER,
            file=Path(self.weights).name,
        )

    @property
    def code(self) -> dict[str, str]:
        """The files that define it, as plans name them -> hash."""
        return {f"{FOLDER}/{file}": digest[:_SHOWN] for file, digest in self.files.items()}


_registered: dict[str, OwnNetwork] = {}


def register(models: Mapping[str, OwnModel], root: Path, family: str) -> None:
    """Make models of the user's own known by name, in this process and in those that it starts.

    Args:
        models: The section `own_models`.
        root: The project's folder.
        family: Data set whose classes the models tell apart.

    Raises:
        UserError: a file is missing, lies outside `own/` or is no Python, or a value does not fit the data set.
    """
    folder = Path(os.path.realpath(root / FOLDER))
    for name, model in models.items():
        _registered[name] = _found(name, model, folder, family)
    os.environ[_INHERITED] = json.dumps([dataclasses.asdict(own) for own in _registered.values()])


def _inherit() -> None:
    """Know the models that the process knew which started this one."""
    for values in json.loads(os.environ.get(_INHERITED, "[]")):
        numbers = {key: tuple(values[key]) for key in ("mean", "std")}
        _registered[values["name"]] = OwnNetwork(**{**values, **numbers})


_inherit()


def find_own(name: str) -> OwnNetwork | None:
    """The model of the user's own of that name or key; None where there is none."""
    own = _registered.get(name.partition("@")[0])
    return own if own is not None and name in (own.name, own.key) else None


def _found(name: str, model: OwnModel, folder: Path, family: str) -> OwnNetwork:
    """A model of params.yaml with its files.

    Raises:
        UserError: as in `register`.
    """
    where, classes, channels = f"own_models: {name}", CLASSES[family], CHANNELS.get(family, 3)
    for key in ("mean", "std"):
        if len(getattr(model, key)) != channels:
            raise UserError(
                f"{where}: {key} has {len(getattr(model, key))} numbers, expected {channels}, one a channel"
            )
    outputs = model.classes or classes
    if outputs not in (classes, classes + 1):
        raise UserError(
            f"{where}: classes is {outputs}, and the images have {classes} classes; expected {classes}, "
            f"or {classes + 1} where the first is a background class"
        )
    if _leads_out(model.file):
        raise UserError(f"{where}: file: {model.file} lies outside {FOLDER}/; give a path within {folder}")
    path, weights = folder / model.file, expand_path(model.weights, f"{where}: weights", folder)
    if not path.is_file():
        there = sorted(other.relative_to(folder).as_posix() for other in folder.rglob("*.py"))
        error = unknown_name("file", model.file, there)
        raise UserError(f"{where}: file: {error} (a path within {folder})")
    if model.sha256 is None and _leads_out(model.weights):
        raise UserError(f"{where}: weights: {model.weights} lies outside {FOLDER}/; add its sha256")
    scale = 255 / model.pixels
    mean, std = (tuple(scale * value for value in values) for values in (model.mean, model.std))
    from crossfool.storage.hashing import sha256  # stages load this module, and hash nothing by it

    files = {file.relative_to(folder).as_posix(): sha256(file) for file in code_files(path)}
    rest = (str(weights.absolute()), mean, std, model.side, model.interpolation)
    return OwnNetwork(name, family, str(path.absolute()), model.function, files, outputs, *rest)


def _leads_out(path: str) -> bool:
    """Whether a path leads out of the folder that it starts in."""
    return path.startswith("$") or os.path.isabs(os.path.expanduser(path)) or os.path.normpath(path).startswith("..")


def weights_digest(own: OwnNetwork, given: str | None) -> str:
    """The sha256 that a model's weights file has to have: the given one, else that of the file.

    Raises:
        UserError: none is given, and the file is missing.
    """
    if given is None:
        require_weights(own)
    from crossfool.storage.hashing import sha256

    return given or sha256(own.weights)


def require_weights(own: OwnNetwork) -> None:
    """Refuse to go on without a model's weights file.

    Raises:
        UserError: it is missing.
    """
    if not Path(own.weights).is_file():
        raise UserError(f"own_models: {own.name}: weights: {own.weights} is missing; put it there")


def code_files(path: Path) -> list[Path]:
    """A Python file, first, and the files that it imports from its own folder, directly or not, by name.

    Raises:
        UserError: one of them is no Python.
    """
    found: set[Path] = set()
    waiting = [path]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting += _imported(file, path.parent)
    return [path, *sorted(found - {path})]


def _imported(file: Path, folder: Path) -> Iterator[Path]:
    """The files in a folder that a file there imports, anywhere in it."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError) as error:
        raise UserError(f"{file} is no Python: {brief(error)}") from None
    for node in ast.walk(tree):
        names, base = [], folder
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = file.parents[node.level - 1] if node.level else folder
            names = [".".join(filter(None, (node.module, alias.name))) for alias in node.names]
        for name in names:
            parts = name.split(".")
            for end in range(1, len(parts) + 1):
                place = base.joinpath(*parts[:end])
                yield from (one for one in (place.with_suffix(".py"), place / "__init__.py") if one.is_file())
