"""The cost of an experiment, from its params.yaml alone: nothing is measured. Imports no torch.

Gradient evaluations are exact: one is one image's gradient through one model, so an ensemble of three counts three.
Time is an estimate. A model's forward pass has so many floating-point operations, as its file in `models/networks/`
says, or by `operations.csv` twice torchvision's count of multiply-adds; a gradient is a forward pass and one backward
to the input (parameters are frozen), twice a forward pass. Added are the forward passes of `predict`, `evaluate`,
`transform` and `boundary`. All is divided by RATE, by CPU where all networks are the zoo's own, or by a rate that was
measured.

Disk is the images as they are stored, the subset, the adversarial images (one byte a channel) and weights in float32.
The data set and LPIPS's weights are counted by themselves, since experiments share them through DVC's cache where the
file system can link.
"""

import csv
import functools
import math
from collections.abc import Container, Iterator
from dataclasses import dataclass
from importlib import resources

from crossfool.experiment.config import Experiment
from crossfool.models import network_files
from crossfool.models.weights import registry

GPU_OPERATIONS_A_SECOND = (
    8e12  # float32 operations a second, sustained: an assumption, some 40% of an A100's peak of 19.5e12
)
CPU_OPERATIONS_A_SECOND = (
    6e10  # likewise of two cores on the zoo's own networks, measured in experiments/modern and noise (2026-11-26)
)
STAGE_SECONDS = 2.3  # seconds that DVC and the start of a stage take, measured there too
TRAINING_IMAGE_COUNTS = {"mnist": 60_000, "cifar10": 50_000}  # stored where a model is trained
LPIPS_BYTES = 9_880_000  # bytes of its weights
DEFAULT_MODELS = {"efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"}  # the default benchmark's


@dataclass(frozen=True)
class Cost:
    """The cost of an experiment, or of its stages that have yet to run.

    Attributes:
        cells: Sources times attacks.
        gradients: Gradient evaluations, of one image through one model each.
        passes: Forward passes, of one image through one model each.
        operations: Floating-point operations of gradients and passes; None where a model's are not known (timm).
        own: Bytes of subset, adversarial images and weights.
        shared: Bytes of the data set, and of LPIPS's weights where `lpips` is true.
        written: Bytes of both that are yet to be written.
    """

    cells: int
    gradients: int
    passes: int
    operations: float | None
    own: int
    shared: int
    written: int

    def seconds(self, rate: float | None = None) -> float | None:
        """Estimated seconds at `rate` gradients a second (a forward pass is half a gradient), else at RATE operations.

        None where no rate is given and the operations are not known.
        """
        if rate is not None:
            return (self.gradients + self.passes / 2) / rate
        return None if self.operations is None else self.operations / GPU_OPERATIONS_A_SECOND


@dataclass(frozen=True)
class NetworkSize:
    """The size of a model.

    Attributes:
        parameters: Their number.
        operations: Floating-point operations of one image's forward pass.
    """

    parameters: int
    operations: float


@functools.cache
def network_sizes() -> dict[str, NetworkSize]:
    """The size of every model of the zoo by name, but timm's and those that a network's file does not declare."""
    table = resources.files("crossfool") / "experiment" / "operations.csv"
    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    known = {row["name"]: NetworkSize(int(row["parameters"]), float(row["operations"])) for row in rows}
    for name, network in network_files.networks().items():
        if network.parameters is not None and network.operations is not None:
            known[name] = NetworkSize(network.parameters, float(network.operations))
    for spec in registry.all_specs().values():
        if spec.network in known and spec.name not in known:  # convolutions' cost goes with the area
            size, side = known[spec.network], registry.all_specs()[spec.network].side
            known[spec.name] = NetworkSize(size.parameters, size.operations * ((spec.side or side) / side) ** 2)
    return known


def attacked_images(experiment: Experiment) -> int | None:
    """The number of attacked images by params.yaml: at most, where it says `all`; None where it does not tell."""
    asked, data = experiment.subset.images, experiment.dataset
    if asked != "all":
        return asked
    is_default = experiment.subset.of == "correct" and set(experiment.models) >= DEFAULT_MODELS
    return data.CORRECT_IMAGES if is_default and data.CORRECT_IMAGES is not None else data.IMAGES


def cost(
    experiment: Experiment,
    *,
    images: int | None = None,
    evaluated: int | None = None,
    pending: Container[str] | None = None,
) -> Cost:
    """Count the cost of an experiment.

    Args:
        experiment: Its params.yaml.
        images: How many images are attacked; as params.yaml says, where not given.
        evaluated: How many images the data set has; likewise. An `imagefolder` that is not given counts as its subset.
        pending: The outputs (`adversarial/fnn0/fgsm.safetensors`) that have yet to be made; all, where not given.
            Other outputs cost no time, but their disk.
    """
    data = experiment.dataset
    images = images or attacked_images(experiment) or 0
    evaluated = evaluated or data.IMAGES or images
    gradients = dict.fromkeys(experiment.models, 0)
    passes = dict.fromkeys(experiment.models, 0)
    for model, count in _gradients(experiment, images, pending):
        gradients[model] += count
    for model, count in _passes(experiment, images, evaluated, pending):
        passes[model] += count
    known = network_sizes()
    operations = None
    if all(model in known for model in experiment.models):
        by_model = (known[model].operations * (2 * gradients[model] + passes[model]) for model in experiment.models)
        operations = math.fsum(by_model)
    alone, shared = _files(experiment, images, evaluated)
    written = sum(size for out, size in (alone | shared).items() if _is_pending(out, pending))
    cells = len(experiment.sources) * len(experiment.rows)
    total = sum(gradients.values()), sum(passes.values())
    return Cost(cells, *total, operations, sum(alone.values()), sum(shared.values()), written)


def _files(experiment: Experiment, images: int, evaluated: int) -> tuple[dict[str, int], dict[str, int]]:
    """The bytes of large outputs: those of the experiment alone, and those it shares. timm's weights count as none."""
    known, shape = network_sizes(), experiment.dataset.shape
    size = shape.channels * shape.side**2  # bytes an image
    alone = {}
    for source in experiment.sources:
        for attack, row in experiment.rows.items():
            copies = 1 + len(row.snapshots) + 4 * bool(row.quantisation)  # a float32 is four bytes
            alone[f"adversarial/{source}/{attack}.safetensors"] = images * size * copies
    alone["subset/images.safetensors"] = images * size
    for model in experiment.models:
        alone[f"weights/{model}.safetensors"] = 4 * known[model].parameters if model in known else 0
    train = TRAINING_IMAGE_COUNTS.get(experiment.dataset.family, 0) if experiment.training else 0
    shared = {"data/images.safetensors": evaluated * size, "data/train.safetensors": train * size}
    return alone, shared | {"data/lpips.safetensors": LPIPS_BYTES if experiment.lpips else 0}


def _gradients(experiment: Experiment, images: int, pending: Container[str] | None) -> Iterator[tuple[str, int]]:
    """Models, each with a number of gradients that a stage evaluates; a model may occur several times."""
    for source in experiment.sources:
        for attack, row in experiment.rows.items():
            if _is_pending(f"adversarial/{source}/{attack}.safetensors", pending):
                yield from ((member, images * row.gradient_evaluations) for member in source.split("+"))
    for name, similar in experiment.similarity.items():
        if _is_pending(f"analysis/similarity/{name}.csv", pending):
            yield similar.source, similar.images * (max(similar.samples) + 1)
            yield similar.target, similar.images
    for name, saliency in experiment.saliency.items():
        if _is_pending(f"analysis/saliency/{name}.safetensors", pending):
            yield saliency.model, len(saliency.images) * (max(saliency.samples) + 1)
    for name, plane in experiment.boundary.items():
        if _is_pending(f"analysis/boundary/{name}.safetensors", pending):
            yield plane.source, plane.samples + 1


def _passes(
    experiment: Experiment, images: int, evaluated: int, pending: Container[str] | None
) -> Iterator[tuple[str, int]]:
    """Models, each with a number of images that a stage passes through without a gradient."""
    yield from (
        (model, evaluated) for model in experiment.models if _is_pending(f"predictions/clean/{model}.parquet", pending)
    )
    levels = sum(map(len, experiment.transforms.values()))
    for source in experiment.sources:
        for attack, row in experiment.rows.items():
            times = _is_pending(f"predictions/{source}/{attack}.parquet", pending) * (
                1 + len(row.snapshots) + (2 if row.quantisation else 0)
            )
            if attack in experiment.attacks and _is_pending(f"transformed/{source}/{attack}.parquet", pending):
                times += levels
            yield from ((model, images * times) for model in experiment.answering)
    for name, plane in experiment.boundary.items():
        if _is_pending(f"analysis/boundary/{name}.safetensors", pending):
            yield from ((target, plane.points**2) for target in plane.targets)


def _is_pending(out: str, pending: Container[str] | None) -> bool:
    return pending is None or out in pending


def is_small(experiment: Experiment) -> bool:
    """Whether all networks of an experiment are the zoo's own, which need no GPU."""
    return all(registry.spec(model).library == "crossfool" for model in experiment.models)


def count_text(count: int) -> str:
    """A large count in words, rounded to thousands: 12,000, or 3.4 million."""
    return f"{count / 1e6:,.1f} million" if count >= 1e6 else f"{round(count, -3):,}"


def bytes_text(count: int) -> str:
    """A number of bytes in GB or MB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def duration_text(seconds: float) -> str:
    """A time in seconds, minutes, hours or days."""
    for limit, unit, name in ((100, 1, "seconds"), (5400, 60, "minutes"), (172_800, 3600, "hours")):
        if seconds < limit:
            return f"{seconds / unit:.{0 if seconds >= 10 * unit else 1}f} {name}"
    return f"{seconds / 86_400:,.1f} days"
