"""A row of `attacks` in params.yaml: keys of every row here, those of parts in the parts' own modules."""

import functools
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self

from pydantic import (
    ConfigDict,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticKnownError

from crossfool.attacks import parts, selection
from crossfool.attacks.torchattack import catalogue
from crossfool.config import Count, Length, Section, Seed, Step
from crossfool.errors import MAX_PIXEL, small_steps_message

NORM_MODULES = {"l2": "crossfool.attacks.l2"}  # loaded for rows that name the norm
# the keys that a row with a method may have
METHOD_KEYS = ("method", "options", "epsilon", "steps", "step_size", "seed", "objective", "fusion")
# The order of keys in the metadata of cells, by which a cell is known again; other keys stand behind these, by name.
KEY_ORDER = (
    *("epsilon", "steps", "step_size", "method", "options", "gradient", "samples", "sigma", "seed", "update", "decay"),
    *("objective", "fusion", "noise", "radius", "diversity", "resize", "scales", "kernel"),
    *("record_steps", "seeds", "quantisation"),
)


def in_order(keys: Iterable[str]) -> list[str]:
    """Keys of a row in the order of `KEY_ORDER`."""
    return sorted(keys, key=lambda key: (KEY_ORDER.index(key) if key in KEY_ORDER else len(KEY_ORDER), key))


class Attack(Section):
    """A row of `attacks`: the loop of paper equations 4, 5 and 8 with its parts, or a method, another library's attack.

    Keys of its parts (`samples`, `sigma`, ...) are not among the attributes; `value` gives them.

    Attributes:
        norm: The norm of the ball, of epsilon and of step_size: `l2`; None for L-inf, also where `linf` is written.
        epsilon: Radius of the ball around the clean image, in pixel values: in L-inf of each value, in L2 of the whole
            image.
        steps: T, the number of iterations; with `method`, the library's own number where not given.
        step_size: alpha, in pixel values; with `method`, epsilon / steps where not given.
        method: Another library's attack (`torchattack/MIFGSM`) in place of the loop.
        options: Further arguments of that attack, by the library's names.
        gradient: The estimator, a module of `gradients/`.
        noise: What the estimator draws, a module of `noise/`; the estimator's own choice where not given.
        update: The update rule, a module of `updates/`.
        loss: The loss, a module of `losses/`; cross-entropy where not given.
        seed: Seed of all that is drawn, or of a method's random draws (0 where not given).
        objective: `untargeted` or `targeted`.
        fusion: What an ensemble takes the mean of (equation 3); a single model is the same under all three.
        record_steps: Steps, rising, after which snapshots of the images are kept: success against cost, from one run.
            A last entry equal to `steps` is dropped: the images after that step are the attack's.
        seeds: Seeds in place of `seed`: the first is the attack's, the others are run as well, for the spread.
        quantisation: Keep the last images as floats, too: success before and after rounding and truncating.
    """

    model_config = ConfigDict(extra="allow")

    norm: Literal["linf", "l2"] | None = None  # before epsilon, whose limit depends on it
    epsilon: Length
    steps: Count
    step_size: Step
    method: str | None = None
    options: dict[str, int | float | bool | str] | None = None
    gradient: str = parts.DEFAULTS["gradient"]
    seed: Seed | None = None
    update: str = parts.DEFAULTS["update"]
    objective: Literal["untargeted", "targeted"] = "untargeted"
    fusion: Literal["probabilities", "logits", "losses"] = "probabilities"
    noise: str | None = None
    loss: str | None = None
    record_steps: tuple[Count, ...] | None = None
    seeds: tuple[Seed, ...] | None = None
    quantisation: Literal[True] | None = None

    @model_validator(mode="before")
    @classmethod
    def _resolve(cls, values: Any) -> Any:
        """Check the keys of parts; fill in a method's steps and step size, where params.yaml does not give them."""
        if not isinstance(values, Mapping):
            return values
        own = {key: value for key, value in values.items() if key in cls.model_fields}
        others = {key: value for key, value in values.items() if key not in cls.model_fields}
        if values.get("method") is not None:
            return _with_steps(own) | _no_part_keys(others)
        for kind in ("gradient", "update"):
            if kind in own:
                parts.load(kind, own[kind])
        return own | selection.checked_values(others, own)

    @model_serializer(mode="wrap")
    def _in_order(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values = handler(self)
        return {key: values[key] for key in in_order(values)}

    @classmethod
    def key_names(cls) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*cls.model_fields, *parts.key_names())))  # a part may have epsilon, too

    @field_validator("norm")
    @classmethod
    def _default_norm(cls, norm: str | None) -> str | None:
        """Take `linf` for a key that is not there: such rows are the same."""
        return None if norm == "linf" else norm

    @field_validator("epsilon")
    @classmethod
    def _check_epsilon(cls, epsilon: float, known: ValidationInfo) -> float:
        """Refuse a radius in L-inf that no pixel can use."""
        if epsilon > MAX_PIXEL and known.data.get("norm") is None:
            raise PydanticKnownError("less_than_equal", {"le": MAX_PIXEL})
        return epsilon

    @field_validator("record_steps")
    @classmethod
    def _check_record_steps(cls, recorded: tuple[int, ...] | None, known: ValidationInfo) -> tuple[int, ...] | None:
        """Keep the recorded steps below `steps`: the images after the last step are the attack's and kept anyway."""
        steps = known.data.get("steps")
        if recorded is None or steps is None:
            return recorded
        below = recorded[:-1] if recorded[-1:] == (steps,) else recorded
        if not below or list(recorded) != sorted(set(recorded)) or recorded[-1] > steps:
            raise ValueError(
                f"is {list(recorded)}, expected rising numbers up to steps, {steps}, and one below it at least"
            )
        return below

    @model_validator(mode="after")
    def _check_keys(self) -> "Attack":
        """Refuse keys that the row makes no use of, missing keys, and combinations that cannot work."""
        if message := small_steps_message(self.epsilon, self.steps, self.step_size):
            raise ValueError(message)
        if self.method is not None:
            self._check_method(self.method)
            return self
        if self.options is not None:
            raise ValueError("options are used only with method; remove them")
        if self.seed is not None and not self.draws_at_random:
            raise ValueError(selection.seed_message())
        self._check_snapshots()
        row_parts = self.parts
        for view in row_parts.inputs:
            if view.stage() == 0 and not row_parts.gradient.takes_views:
                raise ValueError(f"{view.part_name()} is not used by gradient: {self.gradient}; remove it")
        for part in row_parts:
            if message := part.misuse(self):
                raise ValueError(message)
        return self

    def _check_snapshots(self) -> None:
        """Refuse `seeds` and `quantisation` where they would give the same images again."""
        seeds = self.seeds
        if seeds is not None and (len(seeds) < 2 or len(set(seeds)) < len(seeds)):
            raise ValueError(f"seeds are {list(seeds)}, expected two or more that differ")
        if seeds is not None and self.seed is not None:
            raise ValueError("seed and seeds are both given; remove seed, the first of seeds takes its place")
        if seeds is not None and not self.draws_at_random:
            raise ValueError("seeds: nothing is drawn at random here, so that all would be the same; remove seeds")
        if self.quantisation and self.whole:
            raise ValueError(
                "quantisation: with whole epsilon and step_size every image is of whole numbers already; remove it"
            )

    def _check_method(self, name: str) -> None:
        """Refuse keys and options that the row's method makes no use of."""
        method = catalogue.find_method(name)
        catalogue.complete_options(name, self.options or {})
        for key, field in type(self).model_fields.items():
            if key not in METHOD_KEYS and getattr(self, key) != field.default:
                raise ValueError(f"{key} is not used with method, but by the loop of this package; remove it")
        if self.seed is not None and not method.random:
            raise ValueError(f"seed is not used by {name}, which draws nothing; remove it")
        if self.targeted and not method.targeted:
            raise ValueError(f"objective: {name} cannot aim at a label; remove it")
        if not method.steps and (self.steps != 1 or self.step_size != self.epsilon):
            raise ValueError(f"{name} takes one step of epsilon; remove steps and step_size")

    def __hash__(self) -> int:
        values = self.model_dump() | {"options": frozenset((self.options or {}).items())}
        return hash(tuple(values.items()))

    @property
    def library_method(self) -> catalogue.Method | None:
        """The catalogue's entry for the row's method; None where the row is the loop of this package."""
        return None if self.method is None else catalogue.find_method(self.method)

    @property
    def needs_original_network(self) -> bool:
        """Whether the attack needs the source's network as its library built it."""
        return self.library_method is not None and self.library_method.network

    @property
    def targeted(self) -> bool:
        """Whether the attack aims at the target labels."""
        return self.objective == "targeted"

    @functools.cached_property
    def parts(self) -> parts.RowParts:
        """The row's parts; of a row without a method."""
        assert self.method is None
        return parts.make(self.model_dump())

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with other values of some keys; its parts are made anew, by these values."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("parts", None)
        return copied

    def __getstate__(self) -> dict[Any, Any]:  # without the parts: a worker makes them anew, and so loads one's own
        state = super().__getstate__()
        return state | {"__dict__": {key: value for key, value in state["__dict__"].items() if key != "parts"}}

    def value(self, key: str) -> Any:
        """The value of a key or property, of a part's key as well; None where the row does not have it."""
        return getattr(self, key, None)

    @property
    def draws_at_random(self) -> bool:
        """Whether the attack draws anything at random."""
        if self.library_method is not None:
            return self.library_method.random
        return any(part.random for part in self.parts)

    @property
    def takes_pool(self) -> bool:
        """Whether the attack draws from the clean images of the whole subset, beside those that it attacks."""
        return self.method is None and self.parts.takes_pool

    @property
    def whole(self) -> bool:
        """Whether every step leaves whole numbers: the parts' steps are, and a method's are not known to be."""
        fixed_steps = self.method is None and self.norm is None and all(part.whole_steps for part in self.parts)
        return fixed_steps and all(value == int(value) for value in (self.epsilon, self.step_size))

    @property
    def has_later_parts(self) -> bool:
        """Whether the row has parts, or a norm, that the paper's attacks do not have."""
        return self.method is not None or self.norm is not None or not all(part.paper for part in self.parts)

    @property
    def gradient_evaluations_per_step(self) -> int:
        """Gradient evaluations an image, model and step; a method is not counted by its steps, and has 1 here."""
        return 1 if self.method is not None else self.parts.evaluations

    @property
    def gradient_evaluations_per_seed(self) -> int:
        """Gradient evaluations an image and model, of one seed."""
        if self.method is not None:
            return catalogue.find_method(self.method).cost(
                self.steps, catalogue.complete_options(self.method, self.options or {})
            )
        return self.steps * self.gradient_evaluations_per_step

    @property
    def gradient_evaluations(self) -> int:
        """Gradient evaluations an image and model, of all seeds."""
        return self.gradient_evaluations_per_seed * len(self.seeds or (0,))

    @property
    def first_seed(self) -> int:
        """The seed of the attack's own images."""
        return self.seeds[0] if self.seeds else self.seed or 0

    @property
    def snapshots(self) -> tuple[tuple[int, int], ...]:
        """(Seed, step) of each snapshot: the images that are kept beside the first seed's last."""
        recorded = [(self.first_seed, step) for step in self.record_steps or ()]
        return (*recorded, *((seed, self.steps) for seed in (self.seeds or ())[1:]))

    def with_seed(self, seed: int) -> "Attack":
        """Return the attack with one seed and no snapshots."""
        alone = {"seed": seed, "seeds": None, "record_steps": None, "quantisation": None}
        return self.model_copy(update=alone)


def _with_steps(values: dict[str, Any]) -> dict[str, Any]:
    """Fill in a method's steps and step size."""
    if not isinstance(values["method"], str):
        raise ValueError(f"method is {values['method']!r}, expected a name such as {catalogue.LIBRARY}/MIFGSM")
    steps = values.get("steps", catalogue.find_method(values["method"]).steps or 1)
    if not isinstance(values.get("epsilon"), int | float) or not isinstance(steps, int) or steps < 1:
        return values
    return {"steps": steps, "step_size": values["epsilon"] / steps, **values}


def _no_part_keys(values: Mapping[str, Any]) -> dict[str, Any]:
    """Refuse keys of parts in a row with a method; nothing is left of them."""
    if values:
        selection.refuse_unknown(values)
    for key, value in values.items():
        if value is not None:
            raise ValueError(f"{key} is not used with method, but by the loop of this package; remove it")
    return {}
