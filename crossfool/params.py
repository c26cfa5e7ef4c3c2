"""params.yaml as frozen, validated objects: unknown, missing, unused and impossible values are errors.

Units: pixels are 0..255, so epsilon, step size and sigma are pixel values (paper section 3.2). A number that is written
for pixels 0..1 is an error, which says what was meant: see `errors.too_small` and `errors.no_step`.
"""

import functools
import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from crossfool import methods, places, reading, zoo
from crossfool.errors import UserError, no_step, not_a_number, too_small, unknown


def _number(value: Any) -> Any:
    """A number in pixel values; of a text the error says which number it stands for."""
    if isinstance(value, str):
        raise PydanticCustomError("pixels", "{said}", {"said": not_a_number(value)})
    return value


def _of_pixels(value: float) -> float:
    """Refuse what is written for pixels 0..1."""
    if said := too_small(value):
        raise PydanticCustomError("pixels", "{said}", {"said": said})
    return value


Written, Scaled = BeforeValidator(_number), AfterValidator(_of_pixels)

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+(\+[A-Za-z0-9_]+)*$")]
Positive = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]  # a float32 holds the square of it, too
NotNegative = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Pixels = Annotated[float, Field(ge=0, le=255, allow_inf_nan=False), Scaled, Written]
Radius = Annotated[float, Field(gt=0, le=255, allow_inf_nan=False), Scaled, Written]
Deviation = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False), Scaled, Written]  # of noise; 0 draws none
Step = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False), Written]
Axis = Annotated[int | float, Field(ge=0, le=255), Scaled, Written]  # as it is written, since cells are named by it
AxisStep = Annotated[int | float, Field(gt=0, le=255), Written]
Level = Annotated[float, Field(allow_inf_nan=False)]
Precision = Literal["float32", "tf32", "bfloat16"]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @field_validator("*", mode="before")
    @classmethod
    def _lists_are_tuples(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value


class Dataset(Section):
    """The evaluation (and training) images.

    Attributes:
        name: Which data set.
        path: A folder or tar file with the images; relative to params.yaml, `~` and `$VARIABLES` expanded.
        classes: For `imagefolder`: whose class names the folders bear.
        folder: For `imagefolder`: the folder inside `path` whose sub-folders are the classes.
        train_folder: For `imagefolder`: likewise for the training images, where models are trained.
    """

    name: Literal["mnist", "cifar10", "imagenet", "imagenet-sample", "imagefolder"]
    path: Annotated[str, Field(min_length=1)] | None = None
    classes: Literal["mnist", "cifar10", "imagenet"] | None = None
    folder: str | None = None
    train_folder: str | None = None

    @model_validator(mode="after")
    def _used(self) -> "Dataset":
        folder = self.name == "imagefolder"
        for key in ("classes", "folder", "train_folder"):
            if getattr(self, key) is not None and not folder:
                raise ValueError(f"{key} is used by imagefolder, not by {self.name}; remove it")
        if self.name == "imagenet-sample" and self.path is not None:
            raise ValueError("path is not used by imagenet-sample, whose images come with foolbox; remove it")
        if self.name in ("imagenet", "imagefolder") and self.path is None:
            raise ValueError(f"path is missing; {self.name} needs the folder or tar file that holds the images")
        return self

    @property
    def family(self) -> str:
        """Whose classes the labels are: mnist, cifar10 or imagenet."""
        if self.name == "imagefolder":
            return self.classes or "imagenet"
        return "imagenet" if self.name == "imagenet-sample" else self.name


class Weights(Section):
    """Where published weights come from.

    Attributes:
        dir: A local folder that is searched first; relative to params.yaml.
        sha256: Model name -> the sha256 that its weights file must have, where the zoo pins none.
    """

    dir: str | None = None
    sha256: dict[Name, Annotated[str, Field(pattern="^[0-9a-f]{64}$")]] = {}


class Training(Section):
    """The recipe of the `train` stage for models that have no published weights.

    Attributes:
        epochs: Passes over the training images.
        batch_size: Images a step.
        learning_rate: Peak of the one-cycle schedule.
        momentum: Nesterov momentum of SGD.
        weight_decay: L2 penalty.
        label_smoothing: 0 for none.
        augment: Random shifts of four pixels and mirror images.
        precision: Of the arithmetic: float32; or tf32 or bfloat16, for a GPU's speed.
        seed: Of initial weights, order and augmentation.
        retrain: Models that are trained here although `weights: dir` holds published weights of them.
    """

    epochs: Count
    batch_size: Count
    learning_rate: Positive
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: NotNegative = 0.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    augment: bool = False
    precision: Precision = "float32"
    seed: Seed = 0
    retrain: tuple[Name, ...] = ()


class Subset(Section):
    """Which images are attacked: drawn from those that all models classify correctly (paper section 4).

    Attributes:
        images: How many, or `all`.
        seed: Of the draw of images and of target labels.
        targets: How a targeted attack's label is drawn: `random` among the other classes, or the `next` class.
        of: Drawn from the images that all models classify correctly (`correct`), or from `all`.
    """

    images: Count | Literal["all"]
    seed: Seed = 0
    targets: Literal["random", "next"] = "random"
    of: Literal["correct", "all"] = "correct"

    @field_validator("images", mode="wrap")
    @classmethod
    def _images(cls, value: Any, handler: Any) -> Any:
        if value == "all" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
            return value
        raise ValueError(f"is {value!r}, expected a whole number of at least 1, or all")


class Compute(Section):
    """What changes a result's bytes beside the mathematics.

    Attributes:
        precision: Of the networks' arithmetic: float32; or tf32 or bfloat16, for a GPU's speed.
        compile: Have `torch.compile` write the networks' kernels, with CUDA graphs on a GPU.
        chunk: Images a unit of work: the batch of every forward and backward pass, and what a killed cell resumes by.
    """

    precision: Precision = "float32"
    compile: bool = False
    chunk: Count


OF_METHODS = ("method", "options", "epsilon", "steps", "step_size", "seed", "objective", "fusion")


class Attack(Section):
    """One row of `attacks`: the loop of paper equations 4, 5 and 8 with its parts, those of later attacks,
    or another library's attack.

    Attributes:
        epsilon: Radius of the L-inf ball.
        steps: T, the number of iterations; with `method`, as many as the library takes where not given.
        step_size: alpha; with `method`, epsilon / steps where not given.
        method: Another library's attack (`torchattack/MIFGSM`) in place of the loop.
        options: What else that attack takes, by the library's names.
        gradient: `plain`, `smoothed` (sg-*, equation 8), `varied` (VMI) or `relevant` (GRA).
        samples: m of the smoothed gradient; neighbours of the others.
        sigma: Standard deviation of the smoothed gradient's noise.
        noise: Of the smoothed gradient: `gaussian`, `antithetic` pairs of it, or a `latin` hypercube of it.
        radius: Neighbours of the varied and relevant gradients differ by this in each value, at most.
        diversity: Probability that an image is resized and padded before the gradient (DI).
        resize: The smallest side that it gets then, as a part of its own (0.9 where not given).
        scales: How many halvings of the images, the whole among them, the gradient is the mean of (SI).
        kernel: Side of the Gaussian kernel that the gradient is convolved with (TI).
        seed: Of noise and diversity, or of what a `method` draws (0 where not given).
        update: `sign`, `momentum` (equation 5) or `nesterov` (NI).
        decay: mu of the momentum.
        objective: `untargeted` or `targeted`.
        fusion: What an ensemble takes the mean of (equation 3); a single model is the same under all three.
        record_steps: Steps, rising, after which the images are kept, too: success against cost, from one run. What
            ends with `steps` is taken without it, whose images are the attack's.
        seeds: In place of `seed`: the first is the attack's, the others are run as well, for the spread.
        quantisation: Keep the last images as floats, too: success before and after rounding and truncating.
    """

    epsilon: Pixels
    steps: Count
    step_size: Step
    method: str | None = None
    options: dict[str, int | float | bool | str] | None = None
    gradient: Literal["plain", "smoothed", "varied", "relevant"] = "plain"
    samples: Count | None = None
    sigma: Deviation | None = None
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
    def _filled(cls, values: Any) -> Any:
        """A method's steps and step size, where params.yaml leaves them to it."""
        if not isinstance(values, Mapping) or "method" not in values:
            return values
        if not isinstance(values["method"], str | None):
            raise ValueError(f"method is {values['method']!r}, expected a name such as {methods.LIBRARY}/MIFGSM")
        if values["method"] is None:
            return values
        steps = values.get("steps", methods.method(values["method"]).steps or 1)
        if not isinstance(values.get("epsilon"), int | float) or not isinstance(steps, int) or steps < 1:
            return values
        return {"steps": steps, "step_size": values["epsilon"] / steps, **values}

    @field_validator("record_steps")
    @classmethod
    def _recorded(cls, recorded: tuple[int, ...] | None, known: ValidationInfo) -> tuple[int, ...] | None:
        """The steps below `steps`: the images after the last one are the attack's own, which are kept anyway."""
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
    def _used(self) -> "Attack":
        if said := no_step(self.epsilon, self.steps, self.step_size):
            raise ValueError(said)
        if self.method is not None:
            return self._of_method(self.method)
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
                some = " or ".join(values)
                raise ValueError(
                    f"{key} is used only with {option}: {some}, and here {option} is "
                    f"{getattr(self, option)}; remove {key} or set {option}: {some}"
                )
            if used and not given and not optional:
                raise ValueError(f"{key} is missing; {option}: {getattr(self, option)} needs it")
        if self.seed is not None and not self.drawn:
            raise ValueError(
                "seed is used only with gradient: smoothed, varied or relevant, or with diversity, and nothing is "
                "drawn here; remove seed"
            )
        self._takes_are_possible()
        if self.resize is not None and self.diversity is None:
            raise ValueError("resize is used only with diversity; remove resize or give diversity, a probability")
        if self.kernel is not None and self.kernel % 2 == 0:
            raise ValueError(f"kernel is {self.kernel}, expected an odd number, so that it has a middle")
        if self.noise in ("antithetic", "latin") and self.samples == 1:
            raise ValueError(f"noise: {self.noise} needs samples of at least 2, and here there is 1")
        if self.gradient == "varied" and self.steps == 1:
            raise ValueError("gradient: varied differs from plain from its second step on; set steps: 2 or more")
        return self

    def _takes_are_possible(self) -> None:
        seeds = self.seeds
        if seeds is not None and (len(seeds) < 2 or len(set(seeds)) < len(seeds)):
            raise ValueError(f"seeds are {list(seeds)}, expected two or more that differ")
        if seeds is not None and self.seed is not None:
            raise ValueError("seed and seeds are both given; remove seed, the first of seeds takes its place")
        if seeds is not None and not self.drawn:
            raise ValueError("seeds: nothing is drawn at random here, so that all would be the same; remove seeds")
        if self.quantisation and self.whole:
            raise ValueError(
                "quantisation: with whole epsilon and step_size every image is of whole numbers already; remove it"
            )

    @property
    def whole(self) -> bool:
        """Whether every step leaves whole numbers; GRA's steps shrink, and another library's are its own."""
        own = self.method is None and self.gradient != "relevant"
        return own and all(value == int(value) for value in (self.epsilon, self.step_size))

    @property
    def first_seed(self) -> int:
        """Of the attack's own images."""
        return self.seeds[0] if self.seeds else self.seed or 0

    @property
    def takes(self) -> tuple[tuple[int, int], ...]:
        """(Seed, step) of the images that are kept beside the first seed's last."""
        recorded = [(self.first_seed, step) for step in self.record_steps or ()]
        return (*recorded, *((seed, self.steps) for seed in (self.seeds or ())[1:]))

    def with_seed(self, seed: int) -> "Attack":
        """The same attack with one seed and no takes."""
        alone = {"seed": seed, "seeds": None, "record_steps": None, "quantisation": None}
        return self.model_copy(update=alone)

    @property
    def evaluated(self) -> int:
        """Gradient evaluations an image and model, of all seeds."""
        return self.gradients * len(self.seeds or (0,))

    def _of_method(self, name: str) -> "Attack":
        """The row, which has nothing that its method makes no use of."""
        known = methods.method(name)
        methods.options(name, self.options or {})
        for key, field in type(self).model_fields.items():
            if key not in OF_METHODS and getattr(self, key) != field.default:
                raise ValueError(f"{key} is not used with method, but by the loop of this package; remove it")
        if self.seed is not None and not known.random:
            raise ValueError(f"seed is not used by {name}, which draws nothing; remove it")
        if self.targeted and not known.targeted:
            raise ValueError(f"objective: {name} cannot aim at a label; remove it")
        if not known.steps and (self.steps != 1 or self.step_size != self.epsilon):
            raise ValueError(f"{name} takes one step of epsilon; remove steps and step_size")
        return self

    def __hash__(self) -> int:
        values = self.model_dump() | {"options": frozenset((self.options or {}).items())}
        return hash(tuple(values.items()))

    @property
    def copies(self) -> int:
        """Gradient evaluations an image, model and step."""
        own = self.gradient in ("varied", "relevant")  # the gradient itself, beside its neighbours'
        return (self.scales or 1) * ((self.samples or 1) + own)

    @property
    def gradients(self) -> int:
        """Gradient evaluations an image and model, of one seed."""
        if self.method is not None:
            return methods.method(self.method).cost(self.steps, methods.options(self.method, self.options or {}))
        return self.steps * self.copies

    @property
    def drawn(self) -> bool:
        """Whether anything is drawn at random."""
        if self.known is not None:
            return self.known.random
        return self.samples is not None or self.diversity is not None

    @property
    def smallest(self) -> float:
        """The smallest side of diversity, as a part of the whole."""
        return 0.9 if self.resize is None else self.resize

    @property
    def known(self) -> methods.Method | None:
        """What is known of the row's method; None where it is the loop of this package."""
        return None if self.method is None else methods.method(self.method)

    @property
    def as_built(self) -> bool:
        """Whether the attack needs the source's network as its library built it."""
        return self.known is not None and self.known.network

    @property
    def targeted(self) -> bool:
        return self.objective == "targeted"

    @property
    def later(self) -> bool:
        """Whether it has parts that the paper's attacks do not have."""
        own = (self.radius, self.diversity, self.scales, self.kernel, self.method)
        noisy = self.noise not in (None, "gaussian")
        return noisy or self.update == "nesterov" or any(part is not None for part in own)


class GridAttack(Section):
    """What all cells of a grid share; the axes say the rest. See `Attack`."""

    update: Literal["sign", "momentum", "nesterov"] = "sign"
    decay: NotNegative | None = None
    objective: Literal["untargeted", "targeted"] = "untargeted"
    fusion: Literal["probabilities", "logits", "losses"] = "probabilities"
    seed: Seed | None = None


class GridFigure(Section):
    """How a grid is drawn.

    Attributes:
        x: The axis that runs along the abscissa.
        lines: The axis with a line for each of its values; none where null.
        metric: The success rate drawn.
        average: One plot a target, of the mean over sources that do not hold it; else one plot a black-box pair.
    """

    x: Literal["epsilon", "steps", "step_size", "samples", "sigma"]
    lines: Literal["epsilon", "steps", "step_size", "samples", "sigma"] | None = None
    metric: Literal["top1", "top5"] = "top1"
    average: bool = False


AXES = ("epsilon", "steps", "step_size", "samples", "sigma")


class Grid(Section):
    """A sweep: every combination of the axes' values is a cell, from every source.

    Attributes:
        attack: What the cells share; null for a grid that is not used, whose axes are empty.
        epsilon, steps, sigma: Values, as in `Attack`.
        step_size: Likewise; the word `epsilon` takes each cell's epsilon.
        samples: m; 0 is the plain gradient.
        figure: How it is drawn.
    """

    attack: GridAttack | None
    epsilon: tuple[Axis, ...]
    steps: tuple[Count, ...]
    step_size: tuple[Literal["epsilon"] | AxisStep, ...]
    samples: tuple[Annotated[int, Field(ge=0)], ...]
    sigma: tuple[Axis, ...]
    figure: GridFigure | None = None

    @model_validator(mode="after")
    def _whole(self) -> "Grid":
        filled = [axis for axis in AXES if getattr(self, axis)]
        if self.attack is None and self.figure is None and not filled:
            return self
        for what in ("attack", "figure", *AXES):
            if getattr(self, what) in (None, ()):
                raise ValueError(
                    f"{what} is {'null' if what in ('attack', 'figure') else 'empty'}, but the grid is used"
                )
        for axis in AXES:
            values = getattr(self, axis)
            if len(set(values)) < len(values):
                raise ValueError(f"{axis}: a value stands twice")
        for epsilon, steps, step_size, _, _ in self.points():
            if said := no_step(epsilon, steps, epsilon if step_size == "epsilon" else step_size):
                raise ValueError(said)
        if 0 in self.samples and len(self.sigma) > 1:
            raise ValueError("samples: 0 is the plain gradient, the same for every sigma; take it in the other grid")
        assert self.figure is not None
        if self.figure.x == self.figure.lines:
            raise ValueError(f"figure: x and lines are both {self.figure.x}")
        for axis in AXES:
            if len(getattr(self, axis)) > 1 and axis not in (self.figure.x, self.figure.lines):
                raise ValueError(f"figure: draws x and lines, and {axis} has several values too; take one of it")
        return self

    def points(self) -> Iterator[tuple[Any, ...]]:
        """Values of `AXES` for each cell, as they are written, in the order of `cells`."""
        return itertools.product(*(getattr(self, axis) for axis in AXES))

    def cells(self, name: str) -> "dict[str, Attack]":
        """The cells of the grid called `name`: attack -> its row, each named as dvc.yaml names it."""
        if self.attack is None:
            return {}
        shared = self.attack.model_dump(exclude_unset=True)
        rows = {}
        for epsilon, steps, step_size, samples, sigma in self.points():
            row = {"epsilon": float(epsilon), "steps": steps}
            row["step_size"] = float(epsilon if step_size == "epsilon" else step_size)
            own = dict(shared)
            if samples:
                row |= {"gradient": "smoothed", "samples": samples, "sigma": float(sigma)}
            else:
                own.pop("seed", None)
            rows[f"{name}_e{epsilon}_T{steps}_a{step_size}_m{samples}_s{sigma}"] = Attack(**own, **row)
        return rows


class Grids(Section):
    """Two grids an experiment, as the paper's figure 4 has (a) and (b)."""

    a: Grid
    b: Grid

    def cells(self) -> "dict[str, Attack]":
        return {**self.a.cells("a"), **self.b.cells("b")}


class Similarity(Section):
    """Cosine of a source's gradient with a target's, against m (paper section 6.2, figure 3a).

    Attributes:
        source, target: Models.
        images: How many of the subset, from its start.
        samples: Values of m, rising; the plain gradient is measured too.
        sigma: Of the noise.
        seed: Of the noise.
    """

    source: Name
    target: Name
    images: Count
    samples: tuple[Count, ...]
    sigma: Deviation
    seed: Seed = 0


class Boundary(Section):
    """Answers in the plane of the smoothed gradient G and the noise h (paper figures 3b and 9).

    Attributes:
        source: Whose gradient.
        targets: Models whose answers are drawn.
        image: Id of the image in the data set, from 0.
        samples: m.
        sigma: Of the noise.
        sign: Take the signs of G and h (figure 9), so that u and v are pixel values; else unit vectors, and u and v
            are L2 lengths.
        extent: u and v run from minus this to this.
        points: On each axis.
        seed: Of the noise.
    """

    source: Name
    targets: Annotated[tuple[Name, ...], Field(min_length=1)]
    image: Annotated[int, Field(ge=0)]
    samples: Count
    sigma: Deviation
    sign: bool
    extent: Annotated[float, Field(ge=1e-3, le=1e6, allow_inf_nan=False), Scaled, Written]
    points: Annotated[int, Field(ge=3)]
    seed: Seed = 0


class Saliency(Section):
    """The gradient and its smoothed versions as pictures (paper figure 6).

    Attributes:
        model: Whose gradient.
        images: Ids of images in the data set, from 0.
        samples: Values of m, rising.
        sigma: Of the noise.
        seed: Of the noise.
    """

    model: Name
    images: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
    samples: tuple[Count, ...]
    sigma: Deviation
    seed: Seed = 0


class Scatter(Section):
    """Success rates over the sources' clean error and number of parameters (paper figures 1 and 8).

    Attributes:
        attacks: Which are drawn, a row of plots each and target.
        same_family: Whether sources of the target's architecture family are drawn too; the paper leaves them out.
    """

    attacks: tuple[Name, ...]
    same_family: bool


TRANSFORMS = {  # name -> (least level, greatest level, unit)
    "rotation": (-360.0, 360.0, "degrees"),
    "gaussian_noise": (0.0, 255.0, "standard deviation in pixel values"),
    "gaussian_blur": (0.0, 100.0, "standard deviation in pixels"),
    "jpeg": (1.0, 100.0, "quality"),
}
PIXEL_LEVELS = {"gaussian_noise"}  # whose levels are pixel values: 0, or 1 and more


LONGEST = 220  # characters of a source and an attack: with what is put before and behind, a file's name takes 255


class Experiment(Section):
    """All of a params.yaml."""

    root: str
    dataset: Dataset
    models: tuple[Name, ...]
    targets: tuple[Name, ...] | Literal["all"]
    weights: Weights
    training: Training | None
    subset: Subset
    lpips: bool
    compute: Compute
    sources: tuple[Name, ...]
    attacks: dict[Name, Attack]
    grids: Grids
    transforms: dict[str, tuple[Level, ...]]
    similarity: dict[Name, Similarity]
    boundary: dict[Name, Boundary]
    saliency: dict[Name, Saliency]
    scatter: Scatter

    @property
    def answering(self) -> tuple[str, ...]:
        """The models whose answers to adversarial images are taken, in the order of `models`."""
        return tuple(model for model in self.models if self.targets == "all" or model in self.targets)

    @functools.cached_property
    def rows(self) -> dict[str, Attack]:
        """Every attack of the experiment: those of `attacks`, then those of the grids."""
        return {**self.attacks, **self.grids.cells()}

    def row(self, attack: str) -> Attack:
        """An attack by its name.

        Raises:
            UserError: neither `attacks` nor a grid has it.
        """
        if attack not in self.rows:
            raise unknown("attack", attack, self.rows)
        return self.rows[attack]

    @field_validator("targets", mode="wrap")
    @classmethod
    def _targets(cls, value: Any, handler: Any) -> Any:
        if value == "all" or isinstance(value, (list, tuple)):
            return handler(value)
        raise ValueError(f"is {value!r}, expected a list of models, or all")

    @field_validator("transforms", mode="before")
    @classmethod
    def _levels(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        for transform in PIXEL_LEVELS & value.keys():
            for level in value[transform] if isinstance(value[transform], list) else ():
                if isinstance(level, str):
                    raise ValueError(f"{transform}: a level is {level!r}: {not_a_number(level)}")
        return {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}

    @model_validator(mode="after")
    def _agree(self) -> "Experiment":
        family = self.dataset.family
        for where, some in (("models", self.models), ("sources", self.sources), ("attacks", self.attacks)):
            if not some:
                raise ValueError(f"{where}: is empty, expected at least one")
        for where, names in (("models", self.models), ("sources", self.sources)):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{where}: {twice[0]} stands twice; remove one")
        for model in self.models:
            spec = zoo.spec(model)
            if spec.family != family:
                raise ValueError(
                    f"models: {model} classifies {spec.family}, and the data set {self.dataset.name} "
                    f"is {family}; take models and images of one kind"
                )
        for source in self.sources:
            members = source.split("+")
            if len(set(members)) < len(members):
                raise ValueError(f"sources: {source} names a member twice")
            for member in members:
                if member not in self.models:
                    error = unknown("model", member, self.models)
                    raise ValueError(f"sources: {source}: {error} (a source's members must be in models)")
            if source == "clean":
                raise ValueError("sources: clean is reserved; give the model another name")
        cell = f"{max(self.sources, key=len)}-{max(self.rows, key=len)}"
        if len(cell) > LONGEST:
            raise ValueError(
                f"sources: files are called by source and attack, and {cell[:40]}... has {len(cell)} characters, "
                f"expected at most {LONGEST}; give the attack a shorter name, or the ensemble fewer members"
            )
        self._name_known_models()
        for where in ("attacks", "similarity", "boundary", "saliency"):
            for name in getattr(self, where):
                if "+" in name:
                    raise ValueError(f"{where}: the name {name} may have letters, digits and _ only")
        both = sorted(self.attacks.keys() & self.grids.cells().keys())
        if both:
            raise ValueError(f"attacks: {both[0]} is also a grid's cell; give the attack another name")
        for transform, levels in self.transforms.items():
            if transform not in TRANSFORMS:
                raise ValueError(f"transforms: {unknown('transform', transform, TRANSFORMS)}")
            low, high, unit = TRANSFORMS[transform]
            for level in levels:
                if not low <= level <= high:
                    raise ValueError(f"transforms: {transform}: {level:g} is out of range {low:g} to {high:g} ({unit})")
                if transform in PIXEL_LEVELS and (said := too_small(level)):
                    raise ValueError(f"transforms: {transform}: level {level:g} ({unit}): {said}")
                if transform == "jpeg" and level != int(level):
                    raise ValueError(f"transforms: jpeg: {level:g} is no whole number, expected a quality of 1 to 100")
            if len(set(levels)) < len(levels):
                raise ValueError(f"transforms: {transform}: a level stands twice")
        trained = [model for model in self.models if self.is_trained(model)]
        if trained and self.training is None:
            raise ValueError(
                f"training: is null, but {trained[0]} has no published weights; give epochs, batch_size, learning_rate"
            )
        if self.training is not None and not trained:
            raise ValueError("training: is used by no model here, all have published weights; set training: null")
        for model in self.weights.sha256:
            if model not in self.models:
                raise ValueError(f"weights: sha256: {unknown('model', model, self.models)}")
            if model in trained or zoo.spec(model).sha256:
                why = "is trained here" if model in trained else "has its hash pinned by the zoo"
                raise ValueError(f"weights: sha256: {model} {why}; remove it")
        if self.dataset.train_folder is not None and not trained:
            raise ValueError("dataset: train_folder is used by no model here, none is trained; remove it")
        if self.dataset.name == "imagefolder" and trained and self.dataset.train_folder is None:
            raise ValueError(f"dataset: train_folder is missing; {trained[0]} is to be trained on its images")
        if self.lpips and family == "mnist":
            raise ValueError("lpips: true is for colour images, and MNIST's are grey; set lpips: false")
        self._retrain()
        ensembles = any("+" in source for source in self.sources)
        for attack, row in self.rows.items():
            if "fusion" in row.model_fields_set and not ensembles:
                where = f"attacks: {attack}" if attack in self.attacks else f"grids: {attack[0]}: attack"
                raise ValueError(f"{where}: fusion is used by ensembles, and no source is one; remove it")
        for attack, row in self.attacks.items():
            if row.known is not None:
                self._suits(attack, row, row.known)
        return self

    def _suits(self, attack: str, row: Attack, known: methods.Method) -> None:
        """Sources, images and arithmetic are such as another library's attack takes."""
        where = f"attacks: {attack}: {row.method}"
        ensemble = next((source for source in self.sources if "+" in source), None)
        if known.network and ensemble:
            raise ValueError(f"{where} hooks into the layers of one network, and the source {ensemble} is an ensemble")
        if known.network and (self.compute.compile or self.compute.precision == "bfloat16"):
            raise ValueError(f"{where} hooks into a network as it was built; set compile: false, and no bfloat16")
        if known.side and self.dataset.family != "imagenet":
            raise ValueError(f"{where} takes images of {known.side} pixels; {self.dataset.name} has others")
        if known.hooks and "hook_cfg" not in (row.options or {}):
            for source in self.sources:
                if zoo.architecture(source) not in known.hooks:
                    raise ValueError(
                        f"{where} knows the layers of {', '.join(known.hooks)}, and not of {source}; name the one that "
                        "it is built as in options: {hook_cfg: ...}"
                    )

    def is_trained(self, model: str) -> bool:
        """Whether the `train` stage trains a model rather than fetching its published weights."""
        retrained = self.training is not None and model in self.training.retrain
        return retrained or zoo.is_trained(model, self.weights.dir is not None)

    def _retrain(self) -> None:
        for model in self.training.retrain if self.training else ():
            if model not in self.models:
                raise ValueError(f"training: retrain: {unknown('model', model, self.models)}")
            if zoo.is_trained(model, self.weights.dir is not None):
                raise ValueError(f"training: retrain: {model} is trained here anyway; remove it")
            if zoo.spec(model).family == "imagenet":
                raise ValueError(f"training: retrain: {model} is an ImageNet model; none is trained here; remove it")

    def _name_known_models(self) -> None:
        """Sections that name models name those of `models`."""
        places = [("targets", model) for model in (() if self.targets == "all" else self.targets)]
        for name, pair in self.similarity.items():
            places += [(f"similarity: {name}: {role}", getattr(pair, role)) for role in ("source", "target")]
        for name, plane in self.boundary.items():
            places += [(f"boundary: {name}: source", plane.source)]
            places += [(f"boundary: {name}: targets", model) for model in plane.targets]
        places += [(f"saliency: {name}: model", saliency.model) for name, saliency in self.saliency.items()]
        for where, model in places:
            if model not in self.models:
                raise ValueError(f"{where}: {unknown('model', model, self.models)}")
        if not self.answering:
            raise ValueError("targets: is empty, expected at least one, or all")
        for attack in self.scatter.attacks:
            if attack not in self.attacks:
                raise ValueError(f"scatter: attacks: {unknown('attack', attack, self.attacks)}")
        for where, some in (("similarity", self.similarity), ("saliency", self.saliency)):
            for name, row in some.items():
                if not row.samples or list(row.samples) != sorted(set(row.samples)):
                    raise ValueError(f"{where}: {name}: samples are {list(row.samples)}, expected rising numbers")


def load(path: str | Path = "params.yaml") -> Experiment:
    """Read and validate a params.yaml.

    Raises:
        UserError: anything in it is wrong; one line that says what, where, and what was expected.
    """
    return parsed(reading.read(Path(path)), path)


def parsed(text: str, path: str | Path) -> Experiment:
    """The experiment that the text of a params.yaml says.

    Args:
        text: What the file holds, or would hold.
        path: The file: errors name it, and paths in it are relative to its folder.

    Raises:
        UserError: anything in it is wrong.
    """
    try:
        values = reading.strict(text)
    except UserError as error:
        raise UserError(f"{path}{' ' if str(error).startswith('is ') else ': '}{error}") from None
    if values is None:
        raise UserError(f"{path} is empty, expected sections: {', '.join(Experiment.model_fields)}")
    if not isinstance(values, dict):
        raise UserError(f"{path} is a {type(values).__name__}, expected sections: {', '.join(Experiment.model_fields)}")
    try:
        experiment = Experiment.model_validate(values)
        places.refuse(Path(path).parent, experiment.root, _named(experiment, Path(path).parent))
    except ValidationError as error:
        raise UserError(f"{path}: {_first(error)}") from None
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return experiment


def kept(experiment: Experiment) -> list[Path]:
    """The files of weights and clean images that stages write, relative to the experiment's folder."""
    data = [Path("data", f"{name}.safetensors") for name in ("images", "train", "lpips")] + [Path("data/images.csv")]
    return [*(Path("weights", f"{model}.safetensors") for model in experiment.models), *data]


def _named(experiment: Experiment, folder: Path) -> Iterator[tuple[str, str, Path]]:
    """The user's files that a params.yaml names: key, what it says, and the place."""
    data, where = experiment.dataset, experiment.weights.dir
    if data.path is not None:
        place = located(data.path, folder=folder)
        yield "dataset: path", data.path, place
        for key, inside in (("folder", data.folder), ("train_folder", data.train_folder)):
            if inside is not None:
                yield f"dataset: {key}", inside, place / inside
    if where:
        place = located(where, folder=folder)
        yield "weights: dir", where, place
        files = (zoo.within(zoo.spec(model), place) for model in experiment.models)
        yield from (("weights: dir", str(file), file) for file in files if file is not None)  # links may lead elsewhere


def _first(error: ValidationError) -> str:
    """The first of pydantic's errors, as one line."""
    errors = error.errors(include_url=False)
    # a misspelt key is both unknown and missing: tell the first, which names the nearest
    first = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])
    place = [str(part) for part in first["loc"] if part not in ("[key]",)]
    where, kind, given = ": ".join(place[:-1]), first["type"], first.get("input")
    if kind == "extra_forbidden":
        section = _section(place[:-1])
        name = f"key of {'.'.join(place[:-1])}" if place[:-1] else "key"
        return str(unknown(name, place[-1], section.model_fields if section else ()))
    if kind == "missing":
        return f"{where + ': ' if where else ''}{place[-1]} is missing"
    path = ": ".join(place)
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", first["ctx"]["expected"])
        return f"{': '.join(place[:-1]) + ': ' if place[:-1] else ''}{unknown(place[-1], given, choices)}"
    message = " ".join(first["msg"].removeprefix("Value error, ").split())
    message = message[0].lower() + message[1:]
    if kind == "value_error":
        return f"{path}: {message}" if path else first["msg"].removeprefix("Value error, ")
    if kind == "string_pattern_mismatch" and ("sha256" not in place or first["loc"][-1] == "[key]"):
        of_models = place[0] in ("models", "targets", "sources", "weights", "training")
        written = [zoo.as_written(name) for name in str(given).split("+") if of_models]
        message = (
            next(filter(None, written), "") or "a name has letters, digits and _ only (a source joins models by +)"
        )
    if kind == "string_type" and isinstance(given, (int, float)):
        message = "expected a name (in quotes, if it looks like a number)"
    if kind == "too_short":
        return f"{path} is empty, expected at least one"
    if kind in ("model_type", "dict_type", "tuple_type"):
        message = "expected a list" if kind == "tuple_type" else "expected a section of keys and values"
    shown = f" is {given!r}" if isinstance(given, (str, int, float, bool, type(None))) else ""
    shown = shown if len(shown) < 80 else ""
    return f"{path}{shown}: {message}"


def _section(place: list[str]) -> type[Section] | None:
    """The section that a place in the file belongs to."""
    if not place:
        return Experiment
    rows: dict[str, type[Section]] = {
        "attacks": Attack,
        "similarity": Similarity,
        "boundary": Boundary,
        "saliency": Saliency,
    }
    if place[0] in rows:
        return rows[place[0]]
    if place[0] == "grids":
        if len(place) > 2:
            return GridAttack if place[2] == "attack" else GridFigure
        return Grids if len(place) == 1 else Grid
    named: dict[str, type[Section]] = {
        "dataset": Dataset,
        "weights": Weights,
        "training": Training,
        "scatter": Scatter,
        "subset": Subset,
        "compute": Compute,
    }
    return named.get(place[0])


def located(path: str, key: str = "", folder: Path = Path()) -> Path:
    """A path from params.yaml, `~` and `$VARIABLES` expanded.

    Args:
        path: As it is written.
        key: Where it is written, for who is about to read there: then every variable has to be set.
        folder: What a relative path is relative to.

    Raises:
        UserError: a variable is not set, and there is no file or folder whose name has the dollar sign.
    """
    import os

    expanded = os.path.expandvars(path)
    found = folder / os.path.expanduser(expanded)
    left = re.search(r"\$(\w+)", expanded)
    if key and left and not os.path.lexists(found):
        raise UserError(
            f"{key}: {path}: ${left[1]} is not set; set it (`export {left[1]}=...`), or write the path itself"
        )
    return found
