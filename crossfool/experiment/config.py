"""params.yaml as frozen, validated objects: unknown, missing, unused and impossible values are errors.

Units: pixels are 0..255, so epsilon, step size and sigma are pixel values (paper section 3.2). A number that is written
for pixels 0..1 is an error, which says what was meant: see `errors.small_pixel_value_message` and
`errors.small_steps_message`.
"""

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import SerializeAsAny, ValidationInfo, field_validator, model_validator

from crossfool.attacks.config import Attack
from crossfool.attacks.sweeps import Grids
from crossfool.attacks.torchattack import catalogue
from crossfool.config import Name, Section, TransformLevel
from crossfool.datasets.preparation import catalogue as datasets
from crossfool.datasets.preparation.config import Subset
from crossfool.datasets.preparation.dataset import Dataset
from crossfool.errors import UserError, text_for_pixels_message, unknown_name
from crossfool.experiment import model_checks, protocol_files
from crossfool.models import defended_models, own_models
from crossfool.models.defended_models import DefendedModel
from crossfool.models.inference.config import Compute
from crossfool.models.own_models import OwnModel
from crossfool.models.weights import registry
from crossfool.models.weights.config import Training, Weights
from crossfool.pipeline.evaluation import transform_levels
from crossfool.pipeline.gradient_analysis.config import Boundary, Saliency, Similarity


class Scatter(Section):
    """Success rates over the sources' clean error and number of parameters (paper figures 1 and 8).

    Attributes:
        attacks: The attacks that are drawn: a row of plots for each attack and target.
        same_family: Whether sources of the target's architecture family are drawn too; the paper leaves them out.
    """

    attacks: tuple[Name, ...]
    same_family: bool


VARIED_KEYS = ("sigma", "step_size")  # keys of attacks that the paper holds at a ratio to epsilon
LONGEST_CELL_NAME = (
    220  # characters of a source and an attack: with what is put before and behind, a file's name takes 255
)


class Experiment(Section):
    """A whole params.yaml: a field is a section of that name.

    Attributes:
        protocol: The published protocol that the experiment follows, if any: the rates reported under it stand
            beside the experiment's.
        own_models: Models of the user's own by name; None where there are none.
        defended: Target models behind an input defence by name; None where there are none.
        varies: Keys of `VARIED_KEYS` in which attacks depart from the paper's ratio to epsilon on purpose, so that the
            paper's claims are tested on them all the same; None where nothing departs on purpose.
    """

    root: str
    protocol: str | None = None
    dataset: SerializeAsAny[Dataset]
    models: tuple[Name, ...]
    own_models: dict[Name, OwnModel] | None = None
    defended: dict[Name, DefendedModel] | None = None
    targets: tuple[Name, ...] | Literal["all"]
    weights: Weights
    training: Training | None
    subset: Subset
    lpips: bool
    compute: Compute
    sources: tuple[Name, ...]
    attacks: dict[Name, Attack]
    grids: Grids
    transforms: dict[str, tuple[TransformLevel, ...]]
    similarity: dict[Name, Similarity]
    boundary: dict[Name, Boundary]
    saliency: dict[Name, Saliency]
    scatter: Scatter
    varies: tuple[str, ...] | None = None

    @property
    def answering(self) -> tuple[str, ...]:
        """The target models, whose predictions on adversarial images are taken, in the order of `models`."""
        return tuple(model for model in self.models if self.targets == "all" or model in self.targets)

    @functools.cached_property
    def rows(self) -> dict[str, Attack]:
        """Every attack of the experiment: those of `attacks`, then those of the grids."""
        return {**self.attacks, **self.grids.cells()}

    def row(self, attack: str) -> Attack:
        """The row of an attack.

        Raises:
            UserError: neither `attacks` nor a grid has that name.
        """
        if attack not in self.rows:
            raise unknown_name("attack", attack, self.rows)
        return self.rows[attack]

    @field_validator("protocol")
    @classmethod
    def _protocol_is_known(cls, value: str | None) -> str | None:
        if value is not None:
            protocol_files.find_protocol(value)
        return value

    @field_validator("dataset", mode="before")
    @classmethod
    def _dataset(cls, value: Any) -> Any:
        return datasets.from_row(value) if isinstance(value, Mapping) else value

    @field_validator("targets", mode="wrap")
    @classmethod
    def _targets(cls, value: Any, handler: Any) -> Any:
        if value == "all" or isinstance(value, (list, tuple)):
            return handler(value)
        raise ValueError(f"is {value!r}, expected a list of models, or all")

    @field_validator("varies", mode="before")
    @classmethod
    def _varied_keys(cls, value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, (list, tuple)) or not value:
            raise ValueError(f"is {value!r}, expected a list of keys: {', '.join(VARIED_KEYS)}")
        for key in value:
            if key not in VARIED_KEYS:
                raise ValueError(str(unknown_name("key", key, VARIED_KEYS)))
            if list(value).count(key) > 1:
                raise ValueError(f"{key} occurs twice; remove one")
        return value

    @field_validator("transforms", mode="before")
    @classmethod
    def _levels(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        for name, levels in value.items():
            texts = [level for level in levels if isinstance(level, str)] if isinstance(levels, list) else []
            for level in texts:
                if transform_levels.find_transform(name).in_pixel_values:
                    raise ValueError(f"{name}: a level is {level!r}: {text_for_pixels_message(level)}")
        return {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}

    @model_validator(mode="after")
    def _agree(self, info: ValidationInfo) -> "Experiment":
        folder = (info.context or {}).get("folder", Path())
        model_checks.check_own_models(self.own_models or {}, self.models, self.weights)
        own_models.register(self.own_models or {}, folder / self.root, self.dataset.family if self.own_models else "")
        model_checks.check_defended(self.defended or {}, self.models, self.own_models or {}, self.weights)
        # the data set's shape is looked up, which loads its readers, where a model needs it alone
        defended_models.register(self.defended or {}, registry.spec, self.dataset.shape.side if self.defended else 0)
        model_checks.check_models(self.models, self.sources, self.attacks, self.dataset)
        model_checks.refuse_defended(self.differentiated())
        self._sources_agree()
        self._name_known_models()
        self._attack_names_agree()
        self._transforms_agree()
        model_checks.check_retrained(self.models, self.training, self.weights)
        trained = [model for model in self.models if self.is_trained(model)]
        model_checks.check_training(self.models, trained, self.training, self.weights)
        self.dataset.refuse_training(trained[0] if trained else None)
        if self.subset.targets == "given":
            self.dataset.refuse_given_targets()
        if self.lpips and self.dataset.family == "mnist":
            raise ValueError("lpips: true is for colour images, and MNIST's are grey; set lpips: false")
        self._attacks_suit()
        for key in self.varies or ():
            if all(row.value(key) is None for row in self.rows.values()):
                raise ValueError(f"varies: no attack has the key {key}; remove it")
        return self

    def differentiated(self) -> Iterator[tuple[str, str]]:
        """(place in params.yaml, model) of every model whose gradients are taken."""
        for source in self.sources:
            yield from (("sources", member) for member in source.split("+"))
        for name, similar in self.similarity.items():
            yield from ((f"similarity: {name}", model) for model in (similar.source, similar.target))
        for name, plane in self.boundary.items():
            yield from ((f"boundary: {name}", member) for member in plane.source.split("+"))
        for name, saliency in self.saliency.items():
            yield f"saliency: {name}", saliency.model

    def _sources_agree(self) -> None:
        """Sources join models of the experiment, once each, and name files that a file system takes."""
        for source in self.sources:
            members = source.split("+")
            if len(set(members)) < len(members):
                raise ValueError(f"sources: {source} names a member twice; remove one")
            for member in members:
                if member not in self.models:
                    error = unknown_name("model", member, self.models)
                    raise ValueError(f"sources: {source}: {error} (a source's members must be in models)")
            if source == "clean":
                raise ValueError("sources: clean is reserved; give the model another name")
        cell = f"{max(self.sources, key=len)}-{max(self.rows, key=len)}"
        if len(cell) > LONGEST_CELL_NAME:
            raise ValueError(
                f"sources: file names join source and attack, and {cell[:40]}... has {len(cell)} characters, "
                f"expected at most {LONGEST_CELL_NAME}; give the attack a shorter name, or the ensemble fewer members"
            )

    def _attack_names_agree(self) -> None:
        """Names of attacks and analyses are names of files and stages, and no attack is also a grid's cell."""
        for where in ("attacks", "similarity", "boundary", "saliency"):
            for name in getattr(self, where):
                if "+" in name:
                    raise ValueError(f"{where}: the name {name} may have letters, digits and _ only")
        both = sorted(self.attacks.keys() & self.grids.cells().keys())
        if both:
            raise ValueError(f"attacks: {both[0]} is also a grid's cell; give the attack another name")

    def _transforms_agree(self) -> None:
        """Transforms are known, and their levels distinct and in range."""
        for name, levels in self.transforms.items():
            try:
                transform = transform_levels.find_transform(name)
            except UserError as error:
                raise ValueError(f"transforms: {error}") from None
            for level in levels:
                if message := transform.level_error(level):
                    raise ValueError(f"transforms: {name}: {message}")
            if len(set(levels)) < len(levels):
                raise ValueError(f"transforms: {name}: a level occurs twice; remove one")

    def _attacks_suit(self) -> None:
        """Attacks use only what the sources have: several members for `fusion`, layers for another library's attack."""
        ensembles = any("+" in source for source in self.sources)
        for attack, row in self.rows.items():
            if "fusion" in row.model_fields_set and not ensembles:
                where = f"attacks: {attack}" if attack in self.attacks else f"grids: {attack[0]}: attack"
                raise ValueError(f"{where}: fusion applies to ensembles, and no source is an ensemble; remove it")
        for attack, row in self.attacks.items():
            if row.library_method is not None:
                self._method_suits(attack, row, row.library_method)

    def _method_suits(self, attack: str, row: Attack, known: catalogue.Method) -> None:
        """Sources, images and arithmetic are such as another library's attack takes."""
        where = f"attacks: {attack}: {row.method}"
        ensemble = next((source for source in self.sources if "+" in source), None)
        if known.network and ensemble:
            raise ValueError(f"{where} hooks into the layers of one network, and the source {ensemble} is an ensemble")
        if known.network and (self.compute.compile or self.compute.precision == "bfloat16"):
            raise ValueError(f"{where} hooks into a network as it was built; set compile: false, and no bfloat16")
        if known.side and self.dataset.shape.side != known.side:
            raise ValueError(f"{where} takes images of {known.side} pixels; {self.dataset.name} has others")
        if known.hooks and "hook_cfg" not in (row.options or {}):
            for source in self.sources:
                if registry.architecture(source) not in known.hooks:
                    raise ValueError(
                        f"{where} knows the layers of {', '.join(known.hooks)}, and not of {source}; name the one that "
                        "it is built as in options: {hook_cfg: ...}"
                    )

    def is_trained(self, model: str) -> bool:
        """Whether the `train` stage trains a model rather than fetching its published weights."""
        retrained = self.training is not None and registry.spec(model).model in self.training.retrain
        return retrained or registry.is_trained(model, self.weights.dir is not None)

    def has_unpinned_weights(self, model: str) -> bool:
        """Whether a model's weights are published ones whose hash neither the zoo nor `weights: sha256` pins."""
        model = defended_models.plain_name(model)
        pinned = registry.spec(model).sha256 or model in self.weights.sha256 or own_models.find_own(model)
        return not pinned and not self.is_trained(model)

    def _name_known_models(self) -> None:
        """Every section that names models names some of `models`."""
        places = [("targets", model) for model in (() if self.targets == "all" else self.targets)]
        for name, pair in self.similarity.items():
            places += [(f"similarity: {name}: {role}", getattr(pair, role)) for role in ("source", "target")]
        for name, plane in self.boundary.items():
            places += [(f"boundary: {name}: source", plane.source)]
            places += [(f"boundary: {name}: targets", model) for model in plane.targets]
        places += [(f"saliency: {name}: model", saliency.model) for name, saliency in self.saliency.items()]
        for where, model in places:
            if model not in self.models:
                raise ValueError(f"{where}: {unknown_name('model', model, self.models)}")
        if not self.answering:
            raise ValueError("targets: is empty, expected at least one, or all")
        for attack in self.scatter.attacks:
            if attack not in self.attacks:
                raise ValueError(f"scatter: attacks: {unknown_name('attack', attack, self.attacks)}")
        for where, analyses in (("similarity", self.similarity), ("saliency", self.saliency)):
            for name, row in analyses.items():
                if not row.samples or list(row.samples) != sorted(set(row.samples)):
                    raise ValueError(f"{where}: {name}: samples are {list(row.samples)}, expected rising numbers")


def written_files(experiment: Experiment) -> list[Path]:
    """The files of weights and clean images that an experiment's stages write, relative to its folder."""
    data = [Path("data", f"{name}.safetensors") for name in ("images", "train", "lpips")] + [Path("data/images.csv")]
    return [*(Path("weights", f"{model}.safetensors") for model in experiment.models), *data]
