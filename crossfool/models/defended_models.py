"""Target models behind an input defence: their section of params.yaml, and the register of those that are known.

A defended model is a network of its own, which applies the defence to pixels and calls the plain model's network. Its
key is its name and a hash of what defines it: weights files and plans hold the key. Imports no torch.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ConfigDict, TypeAdapter, model_validator

from crossfool.config import Count, Name, Section, Seed
from crossfool.errors import UserError, unknown_name
from crossfool.models.defence_files import Defence, defences, find_defence
from crossfool.models.own_models import CHANNELS
from crossfool.models.spec import Spec

_INHERITED = "_CROSSFOOL_DEFENDED_MODELS"  # environment variable by which worker processes know what their parent does
_SHOWN = 16  # digits of a hash


class DefendedModel(Section):
    """A target model behind one input defence, a file of `defences/`, which is a further key with its level.

    Attributes:
        model: The plain model.
        draws: Number of draws of a random defence, each of which costs a forward pass.
        seed: Seed of these draws, 0 where not given; an image's own bytes are the other part.
    """

    model_config = ConfigDict(extra="allow")

    model: Name
    draws: Count | None = None
    seed: Seed | None = None

    @property
    def defence(self) -> Defence:
        """The defence."""
        (name,) = self.model_extra or {}
        return find_defence(name)

    @property
    def level(self) -> float:
        """The defence's level."""
        (level,) = (self.model_extra or {}).values()
        return float(level)

    @model_validator(mode="after")
    def _one_defence(self) -> "DefendedModel":
        given, known = self.model_extra or {}, defences()
        for name in given:
            if name not in known:
                raise ValueError(str(unknown_name("key", name, [*self.key_names(), *known])))
        if len(given) != 1:
            raise ValueError(f"has {' and '.join(given) or 'no defence'}, expected one of {', '.join(known)}")
        name, level = next(iter(given.items()))
        if isinstance(level, bool) or not isinstance(level, int | float):
            raise ValueError(f"{name} is {level!r}, expected a number ({self.defence.unit})")
        if message := self.defence.level_error(level):
            raise ValueError(f"{name} {message}")
        if self.defence.combine and self.draws is None:
            raise ValueError(f"{name} draws at random; add draws, the number of draws, each a forward pass")
        for key in ("draws", "seed"):
            if not self.defence.combine and getattr(self, key) is not None:
                raise ValueError(f"{name} draws nothing at random; remove {key}")
        return self


@dataclass(frozen=True)
class DefendedNetwork:
    """A defended model.

    Attributes:
        name: The model's name.
        plain: Specification of the plain model.
        defence: Name of the defence.
        level: Its level.
        draws: Forward passes an image.
        seed: Seed of random draws.
        side: Side in pixels of the images that it is given, so that the defence comes before any resizing.
    """

    name: str
    plain: Spec
    defence: str
    level: float
    draws: int
    seed: int
    side: int

    @property
    def key(self) -> str:
        """The name, and a hash of what defines the network beside its weights."""
        plain = [self.plain.name, self.plain.library, self.plain.network, self.plain.side, self.plain.interpolation]
        parts = json.dumps([*plain, self.defence, self.level, self.draws, self.seed, self.side])
        return f"{self.name}@{hashlib.sha256(parts.encode()).hexdigest()[:_SHOWN]}"

    @property
    def declared(self) -> Defence:
        """The defence, as its file declares it."""
        return find_defence(self.defence)

    @property
    def spec(self) -> Spec:
        """The specification as a model that takes pixels 0..255 as they are, whose network is the key."""
        channels = CHANNELS.get(self.plain.family, 3)
        return Spec(
            self.name,
            self.plain.family,
            "crossfool",
            network=self.key,
            mean=(0.0,) * channels,
            std=(1.0,) * channels,
            side=self.side,
            version="defended",
        )

    @property
    def summary(self) -> str:
        """The plain model, the defence, and how draws are combined, as a phrase."""
        text = f"{self.plain.name} behind {self.declared.words.format(level=self.level)}"
        if not self.declared.combine:
            return text
        combined = {"mean": "probabilities averaged", "votes": "majority vote"}[self.declared.combine]
        draws = "1 draw" if self.draws == 1 else f"{self.draws} draws"
        return f"{text}, {combined} over {draws} (seed {self.seed})"


_registered: dict[str, DefendedNetwork] = {}


def register(models: Mapping[str, DefendedModel], find_spec: Callable[[str], Spec], side: int) -> None:
    """Make defended models known by name, in this process and in those that it starts.

    Args:
        models: The section `defended`.
        find_spec: Gives the specification of a plain model by its name.
        side: Side of the data set's images in pixels.

    Raises:
        UserError: a plain model is unknown, or a level does not fit the images.
    """
    for name, row in models.items():
        if row.defence.exceeds_side and row.level <= side:
            raise UserError(
                f"defended: {name}: {row.defence.name} is {row.level:g}, expected more than the images' side of "
                f"{side} pixels, such as {round(side * 331 / 299)}"
            )
        values = (row.defence.name, row.level, row.draws or 1, row.seed or 0, side)
        _registered[name] = DefendedNetwork(name, find_spec(row.model), *values)
    os.environ[_INHERITED] = json.dumps([dataclasses.asdict(defended) for defended in _registered.values()])


def _inherit() -> None:
    """Know the models that the process knew which started this one."""
    inherited: list[dict[str, Any]] = json.loads(os.environ.get(_INHERITED, "[]"))
    for values in inherited:
        _registered[values["name"]] = TypeAdapter(DefendedNetwork).validate_python(values)


_inherit()


def find_defended(name: str) -> DefendedNetwork | None:
    """The defended model of that name or key; None where there is none."""
    defended = _registered.get(name.partition("@")[0])
    return defended if defended is not None and name in (defended.name, defended.key) else None


def plain_name(name: str) -> str:
    """The name of a model without its defence: its own name where it has none."""
    defended = find_defended(name)
    return name if defended is None else defended.plain.name
