"""A row of `attacks` in params.yaml: its keys, their ranges, and which key needs which other."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from crossfool.attacks.torchattack import catalogue
from crossfool.config import Count, NoiseDeviation, NotNegative, Pixels, Radius, Section, Seed, Step
from crossfool.errors import small_steps_message

# the keys that a row with a method may have
METHOD_KEYS = ("method", "options", "epsilon", "steps", "step_size", "seed", "objective", "fusion")


class Attack(Section):
    """A row of `attacks`: the loop of paper equations 4, 5 and 8 with its parts, parts of later attacks, or a method.

    A method is another library's attack.

    Attributes:
        epsilon: Radius of the L-inf ball, in pixel values.
        steps: T, the number of iterations; with `method`, the library's own number where not given.
        step_size: alpha, in pixel values; with `method`, epsilon / steps where not given.
        method: Another library's attack (`torchattack/MIFGSM`) in place of the loop.
        options: Further arguments of that attack, by the library's names.
        gradient: `plain`, `smoothed` (sg-*, equation 8), `varied` (VMI) or `relevant` (GRA).
        samples: m of the smoothed gradient; the number of neighbours of the varied and relevant gradients.
        sigma: Standard deviation of the smoothed gradient's noise, in pixel values.
        noise: Kind of the smoothed gradient's noise: `gaussian`, `antithetic` pairs of it, or a `latin` hypercube.
        radius: Largest difference of a value between an image and its neighbours (varied, relevant).
        diversity: Probability that an image is resized and padded before the gradient (DI).
        resize: Smallest side of a resized image, as a part of its own side (0.9 where not given).
        scales: Number of halvings of the images, the whole among them, that the gradient is the mean of (SI).
        kernel: Side of the Gaussian kernel that the gradient is convolved with (TI).
        seed: Seed of noise and diversity, or of a method's random draws (0 where not given).
        update: `sign`, `momentum` (equation 5) or `nesterov` (NI).
        decay: mu of the momentum.
        objective: `untargeted` or `targeted`.
        fusion: What an ensemble takes the mean of (equation 3); a single model is the same under all three.
        record_steps: Steps, rising, after which snapshots of the images are kept: success against cost, from one run.
            A last entry equal to `steps` is dropped: the images after that step are the attack's.
        seeds: Seeds in place of `seed`: the first is the attack's, the others are run as well, for the spread.
        quantisation: Keep the last images as floats, too: success before and after rounding and truncating.
    """

    epsilon: Pixels
    steps: Count
    step_size: Step
    method: str | None = None
    options: dict[str, int | float | bool | str] | None = None
    gradient: Literal["plain", "smoothed", "varied", "relevant"] = "plain"
    samples: Count | None = None
    sigma: NoiseDeviation | None = None
    seed: Seed | None = None
    update: Literal["sign", "momentum", "nesterov"] = "sign"
    decay: NotNegative | None = None
    objective: Literal["untargeted", "targeted"] = "untargeted"
    fusion: Literal["probabilities", "logits", "losses"] = "probabilities"
    noise: Literal["gaussian", "antithetic", "latin"] | None = None
    radius: Radius | None = None
    diversity: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    resize: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] | None = None
    scales: Annotated[int, Field(ge=2, le=16)] | None = None
    kernel: Annotated[int, Field(ge=3)] | None = None
    record_steps: tuple[Count, ...] | None = None
    seeds: tuple[Seed, ...] | None = None
    quantisation: Literal[True] | None = None

    @model_validator(mode="before")
    @classmethod
    def _fill_in_steps(cls, values: Any) -> Any:
        """Fill in a method's steps and step size, where params.yaml does not give them."""
        if not isinstance(values, Mapping) or "method" not in values:
            return values
        if not isinstance(values["method"], str | None):
            raise ValueError(f"method is {values['method']!r}, expected a name such as {catalogue.LIBRARY}/MIFGSM")
        if values["method"] is None:
            return values
        steps = values.get("steps", catalogue.find_method(values["method"]).steps or 1)
        if not isinstance(values.get("epsilon"), int | float) or not isinstance(steps, int) or steps < 1:
            return values
        return {"steps": steps, "step_size": values["epsilon"] / steps, **values}

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
        for key, option, values, optional in (
            ("samples", "gradient", ("smoothed", "varied", "relevant"), False),
            ("sigma", "gradient", ("smoothed",), False),
            ("noise", "gradient", ("smoothed",), True),
            ("radius", "gradient", ("varied", "relevant"), False),
            ("scales", "gradient", ("plain", "smoothed", "varied", "relevant"), True),
            ("decay", "update", ("momentum", "nesterov"), False),
        ):
            used, given = getattr(self, option) in values, getattr(self, key) is not None
            if given and not used:
                choices = " or ".join(values)
                raise ValueError(
                    f"{key} is used only with {option}: {choices}, and here {option} is "
                    f"{getattr(self, option)}; remove {key} or set {option}: {choices}"
                )
            if used and not given and not optional:
                raise ValueError(f"{key} is missing; {option}: {getattr(self, option)} needs it")
        if self.seed is not None and not self.draws_at_random:
            raise ValueError(
                "seed is used only with gradient: smoothed, varied or relevant, or with diversity, and nothing is "
                "drawn here; remove seed"
            )
        self._check_snapshots()
        if self.resize is not None and self.diversity is None:
            raise ValueError("resize is used only with diversity; remove resize or give diversity, a probability")
        if self.kernel is not None and self.kernel % 2 == 0:
            raise ValueError(f"kernel is {self.kernel}, expected an odd number, so that it has a middle")
        if self.noise in ("antithetic", "latin") and self.samples == 1:
            raise ValueError(f"noise: {self.noise} needs samples of at least 2, and here there is 1")
        if self.gradient == "varied" and self.steps == 1:
            raise ValueError("gradient: varied differs from plain from its second step on; set steps: 2 or more")
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

    @property
    def draws_at_random(self) -> bool:
        """Whether the attack draws anything at random."""
        if self.library_method is not None:
            return self.library_method.random
        return self.samples is not None or self.diversity is not None

    @property
    def whole(self) -> bool:
        """Whether every step leaves whole numbers; GRA's steps shrink, and another library's may be fractional."""
        fixed_steps = self.method is None and self.gradient != "relevant"
        return fixed_steps and all(value == int(value) for value in (self.epsilon, self.step_size))

    @property
    def smallest_side(self) -> float:
        """The smallest side of a resized image, as a part of its own side."""
        return 0.9 if self.resize is None else self.resize

    @property
    def has_later_parts(self) -> bool:
        """Whether the row has parts that the paper's attacks do not have."""
        parts = (self.radius, self.diversity, self.scales, self.kernel, self.method)
        noisy = self.noise not in (None, "gaussian")
        return noisy or self.update == "nesterov" or any(part is not None for part in parts)

    @property
    def gradient_evaluations_per_step(self) -> int:
        """Gradient evaluations an image, model and step."""
        centre = self.gradient in ("varied", "relevant")  # the image's gradient, beside its neighbours'
        return (self.scales or 1) * ((self.samples or 1) + centre)

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
