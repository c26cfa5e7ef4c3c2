"""The plans of an experiment's stages, a function each: values that a stage computes with, and modules that compute.

All stand in one module, to be read beside the graph in dvc.yaml.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from crossfool.attacks import parts
from crossfool.attacks.config import NORM_MODULES, Attack
from crossfool.attacks.torchattack import catalogue as methods
from crossfool.datasets.preparation import catalogue as datasets
from crossfool.datasets.preparation.config import Subset
from crossfool.datasets.preparation.dataset import Dataset
from crossfool.experiment import fingerprint, protocol_files
from crossfool.experiment.config import Experiment
from crossfool.experiment.plan import StagePlan
from crossfool.models import network_files, own_models
from crossfool.models.defended_models import find_defended, plain_name
from crossfool.models.inference.config import Compute
from crossfool.models.spec import Spec
from crossfool.models.weights import registry
from crossfool.models.weights.config import Training, Weights
from crossfool.pipeline.evaluation.transform_levels import find_transform
from crossfool.pipeline.gradient_analysis.config import Boundary, Saliency, Similarity

# Properties of a row that stages compute with: their code is in no fingerprint, so that their values are in the plan.
ATTACK_PROPERTIES = (
    "targeted",
    "first_seed",
    "snapshots",
    "gradient_evaluations_per_step",
    "gradient_evaluations_per_seed",
    "gradient_evaluations",
    "needs_original_network",
    "takes_pool",
)
_TRANSFORMING = "crossfool.pipeline.evaluation.image_transforms"
METHOD_FIELDS = ("steps", "targeted", "random", "network", "hooks", "side", "alone")


def all_plans(experiment: Experiment) -> Iterator[StagePlan[Any]]:
    """The plans of all stages of an experiment."""
    yield prepare(experiment)
    yield lpips(experiment)
    for model in experiment.models:
        yield train(experiment, model)
        yield predict(experiment, model)
    yield select(experiment)
    yield from (source(experiment, name) for name in experiment.sources)
    for attack in experiment.rows:
        yield craft(experiment, attack)
        yield evaluate(experiment, attack)
    yield from (similarity(experiment, name) for name in experiment.similarity)
    yield from (boundary(experiment, name) for name in experiment.boundary)
    yield from (saliency(experiment, name) for name in experiment.saliency)
    yield report(experiment)


@dataclass(frozen=True)
class PrepareValues:
    """The data set, and whether its training images are needed."""

    dataset: Dataset
    training: bool


def prepare(experiment: Experiment) -> StagePlan[PrepareValues]:
    """The plan of decoding the images."""
    values = PrepareValues(experiment.dataset, experiment.training is not None)
    derived = {"family": experiment.dataset.family}
    modules = ("crossfool.datasets.preparation.prepare", datasets.module_name(experiment.dataset.name))
    return StagePlan("prepare", values, modules, derived)


@dataclass(frozen=True)
class LpipsValues:
    """Whether LPIPS is measured, and the folder where its weights are looked for."""

    asked: bool
    weights: Weights


def lpips(experiment: Experiment) -> StagePlan[LpipsValues]:
    """The plan of fetching the weights of LPIPS."""
    weights = Weights(dir=experiment.weights.dir) if experiment.lpips else Weights()
    values = LpipsValues(experiment.lpips, weights)
    return StagePlan("lpips", values, ("crossfool.pipeline.evaluation.lpips_weights",))


@dataclass(frozen=True)
class TrainValues:
    """A model's specification, and how its weights come about.

    Attributes:
        spec: The model's specification.
        recipe: How it is trained; None where its weights are published ones.
        weights: Where published weights are looked for, and their pinned hash; unused where it is trained.
        own_sha256: That of the weights file, where the model is the user's own.
        plain: The plain model's, where the model is one behind a defence.
    """

    spec: Spec
    recipe: Training | None
    weights: Weights
    own_sha256: str | None = None
    plain: "TrainValues | None" = None


def train(experiment: Experiment, model: str) -> StagePlan[TrainValues]:
    """The plan of training a model, or of fetching its published weights."""
    spec, own = registry.spec(model), own_models.find_own(model)
    modules = _networks(model)
    if find_defended(model) is not None:
        plain = train(experiment, plain_name(model))
        values = TrainValues(spec, None, Weights(), plain=plain.values)
        module, modules = "crossfool.models.weights.defended_weights", (*plain.modules, *modules)
    elif own is not None:
        given = (experiment.own_models or {})[model].sha256
        values = TrainValues(spec, None, Weights(), own_models.weights_digest(own, given))
        module = "crossfool.models.weights.own_weights"
    elif experiment.is_trained(model):
        assert experiment.training is not None
        seed = {} if spec.seed is None else {"seed": spec.seed}
        values = TrainValues(spec, experiment.training.model_copy(update={"retrain": (), **seed}), Weights())
        module = "crossfool.models.weights.train_model"
    else:
        pinned = {name: digest for name, digest in experiment.weights.sha256.items() if name == model}
        values = TrainValues(spec, None, Weights(dir=experiment.weights.dir, sha256=pinned))
        module = "crossfool.models.weights.fetch_model"
    return StagePlan(
        f"train/{model}", values, (module, *modules), _definitions(model), _libraries(model), _own_files(model)
    )


@dataclass(frozen=True)
class PredictValues:
    """Plan of a model: how it computes, and its published accuracy in percent on this data set, where it is known."""

    compute: Compute
    known_top1: float | None


def predict(experiment: Experiment, model: str) -> StagePlan[PredictValues]:
    """The plan of a model's predictions for the clean images."""
    modules = ("crossfool.pipeline.evaluation.predict_clean", *_networks(model))
    known = {} if experiment.is_trained(model) else network_files.accuracies(model)
    values = PredictValues(experiment.compute, known.get(experiment.dataset.name))
    return StagePlan(f"predict/{model}", values, modules, _definitions(model), _libraries(model), _own_files(model))


@dataclass(frozen=True)
class SelectValues:
    """The models that have to be right, and how images are drawn."""

    models: tuple[str, ...]
    subset: Subset


def select(experiment: Experiment) -> StagePlan[SelectValues]:
    """The plan of drawing the subset."""
    values = SelectValues(experiment.models, experiment.subset)
    return StagePlan("select", values, ("crossfool.pipeline.subset",))


@dataclass(frozen=True)
class SourceValues:
    """A source's models: name -> library, and the library's name of the network."""

    members: Mapping[str, tuple[str, str]]


def source(experiment: Experiment, name: str) -> StagePlan[SourceValues]:
    """The plan of a source: of its weights record, and of its networks in every cell."""
    members = {member: _network(member) for member in name.split("+")}
    modules = ("crossfool.pipeline.crafting.weights_record", *(m for member in members for m in _networks(member)))
    libraries = tuple(library for member in members for library in _libraries(member))
    values, definitions = SourceValues(members), _definitions(*members)
    return StagePlan(f"source/{name}", values, modules, definitions, libraries, _own_files(*members))


@dataclass(frozen=True)
class CraftValues:
    """An attack, and how models compute."""

    attack: Attack
    compute: Compute


def craft(experiment: Experiment, attack: str) -> StagePlan[CraftValues]:
    """The plan of an attack's cells.

    Raises:
        UserError: params.yaml has no attack of that name.
    """
    row = experiment.row(attack)
    named = row.parts.modules if row.method is None else (parts.ADAPTER,)
    norm = () if row.norm is None else (NORM_MODULES[row.norm],)
    modules = ("crossfool.pipeline.crafting.craft_cell", *named, *norm)
    libraries = () if row.method is None else (methods.LIBRARY,)
    derived = _derived(row) | {"parts": named}  # in the order in which they are composed
    return StagePlan(f"attack/{attack}", CraftValues(row, experiment.compute), modules, derived, libraries)


@dataclass(frozen=True)
class EvaluateValues:
    """An attack, the targets that its cells are evaluated on, and how.

    Attributes:
        attack: The attack's row.
        targets: Target model -> hash of its network and of the code that predicts.
        lpips: Whether LPIPS is measured.
        transforms: Transform -> levels; None where transformed images are not evaluated (a grid's cells).
        transform_hashes: Transform -> hash of the code that transforms.
        compute: How models compute.
    """

    attack: Attack
    targets: Mapping[str, str]
    lpips: bool
    transforms: Mapping[str, tuple[float, ...]] | None
    transform_hashes: Mapping[str, str]
    compute: Compute


def evaluate(experiment: Experiment, attack: str) -> StagePlan[EvaluateValues]:
    """The plan of evaluating an attack's cells.

    Raises:
        UserError: params.yaml has no attack of that name.
    """
    row = experiment.row(attack)
    targets = {model: _prediction_fingerprint(model) for model in experiment.answering}
    transforms = experiment.transforms if attack in experiment.attacks else None
    named = {name: find_transform(name).module for name in transforms or {}}
    hashes = {name: StagePlan("", None, (_TRANSFORMING, module)).digest() for name, module in named.items()}
    values = EvaluateValues(row, targets, experiment.lpips, transforms, hashes, experiment.compute)
    modules = ("crossfool.pipeline.evaluation.evaluate_cell", *named.values())
    return StagePlan(f"evaluate/{attack}", values, modules, _derived(row))


def _prediction_fingerprint(model: str) -> str:
    """Hash of the network and the code by which a model predicts images."""
    modules = ("crossfool.pipeline.evaluation.target_predictions", *_networks(model))
    return StagePlan("", None, modules, _definitions(model), _libraries(model), _own_files(model)).digest()


Row = TypeVar("Row")


@dataclass(frozen=True)
class AnalysisValues(Generic[Row]):
    """An analysis of gradients, and how models compute."""

    row: Row
    compute: Compute


def similarity(experiment: Experiment, name: str) -> StagePlan[AnalysisValues[Similarity]]:
    """The plan of a row of `similarity`."""
    row = experiment.similarity[name]
    return _analysis(f"similarity/{name}", row, experiment.compute, (row.source, row.target))


def boundary(experiment: Experiment, name: str) -> StagePlan[AnalysisValues[Boundary]]:
    """The plan of a row of `boundary`."""
    row = experiment.boundary[name]
    return _analysis(f"boundary/{name}", row, experiment.compute, (row.source, *row.targets))


def saliency(experiment: Experiment, name: str) -> StagePlan[AnalysisValues[Saliency]]:
    """The plan of a row of `saliency`."""
    row = experiment.saliency[name]
    return _analysis(f"saliency/{name}", row, experiment.compute, (row.model,))


def _analysis(name: str, row: Row, compute: Compute, models: tuple[str, ...]) -> StagePlan[AnalysisValues[Row]]:
    kind = name.partition("/")[0]
    modules = (f"crossfool.pipeline.gradient_analysis.{kind}", *(m for model in models for m in _networks(model)))
    libraries = tuple(library for model in models for library in _libraries(model))
    values = AnalysisValues(row, compute)
    return StagePlan(name, values, modules, _definitions(*models), libraries, _own_files(*models))


def report(experiment: Experiment) -> StagePlan[Experiment]:
    """The plan of the report, which shows the whole experiment."""
    derived = {
        "specs": {model: registry.spec(model) for model in experiment.models},
        "attacks": {name: _derived(row) for name, row in experiment.rows.items()},
    }
    parts = (part for kind in ("tables", "figures", "claims") for part in fingerprint.modules_in(f"report.{kind}"))
    protocol = () if experiment.protocol is None else (protocol_files.find_protocol(experiment.protocol).module,)
    modules = ("crossfool.report.report_folder", "crossfool.report.html.page", *parts, *protocol)
    return StagePlan("report", experiment, modules, derived)


def _derived(row: Attack) -> dict[str, Any]:
    """Values that follow from a row: its properties, and what the catalogue says of another library's attack."""
    derived = {name: getattr(row, name) for name in ATTACK_PROPERTIES}
    if row.library_method is not None:
        derived |= {"method": {name: getattr(row.library_method, name) for name in METHOD_FIELDS}}
    return derived


def _definitions(*models: str) -> dict[str, Any]:
    """Definition of each of this package's networks, plain ones of defended models too: what the name stands for."""
    named = ((model, *_network(model)) for model in dict.fromkeys((*models, *map(plain_name, models))))
    own = {model: network_files.find_network(name) for model, library, name in named if library == "crossfool"}
    return {"networks": {model: network.definition for model, network in own.items()}}


def _own_files(*models: str) -> dict[str, str]:
    """The user's own files that define networks -> hash; none of models that are not the user's own."""
    found = (own_models.find_own(plain_name(model)) for model in models)
    return {file: digest for own in found if own is not None for file, digest in own.code.items()}


def _network(model: str) -> tuple[str, str]:
    """A model's library, and the library's name of its network."""
    spec = registry.spec(model)
    return spec.library, spec.network or spec.name


def _networks(model: str) -> tuple[str, ...]:
    """Modules of this package that a model's network is built by."""
    library, network = _network(model)
    return network_files.modules(network, library)


def _libraries(model: str) -> tuple[str, ...]:
    """Libraries whose version a model depends on; torchvision's stands beside torch's in metadata."""
    defended = find_defended(model)
    of_defence = () if defended is None else defended.declared.libraries
    return (*of_defence, "timm") if registry.spec(plain_name(model)).library == "timm" else of_defence
