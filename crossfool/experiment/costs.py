"""The cost of an experiment, from its params.yaml alone: nothing is measured. Imports no torch.

Gradient evaluations are exact: one is one image's gradient through one model, so an ensemble of three counts three.
Time is an estimate. The floating-point operations of a model's forward pass stand in its file in `models/networks/`,
or are by `operations.csv` twice torchvision's count of multiply-adds; a gradient is a forward pass and one backward
to the input (parameters are frozen), twice a forward pass. Added are the forward passes of `predict`, `evaluate`,
`transform` and `boundary`, for a random defence as many as it draws. All is divided by RATE, by CPU where all networks
are the zoo's own, or by a rate that was measured.

Disk is that of `output_sizes`. The data set and LPIPS's weights are counted by themselves, since experiments share them
through DVC's cache where the file system can link.
"""

import math
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass

from crossfool.experiment.config import Experiment
from crossfool.experiment.network_sizes import network_size
from crossfool.experiment.output_sizes import SHARED, output_sizes
from crossfool.models.defended_models import find_defended, plain_name
from crossfool.models.weights import registry

GPU_OPERATIONS_A_SECOND = (
    8e12  # float32 operations a second, sustained: an assumption, some 40% of an A100's peak of 19.5e12
)
CPU_OPERATIONS_A_SECOND = (
    6e10  # likewise of two cores on the zoo's own networks, measured in experiments/modern and noise (2026-11-26)
)
STAGE_SECONDS = 2.3  # seconds that DVC and the start of a stage take, measured there too
DEFAULT_MODELS = {"efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"}  # the default benchmark's


@dataclass(frozen=True)
class Cost:
    """The cost of an experiment, or of its stages that have yet to run.

    Attributes:
        cells: Sources times attacks.
        gradients: Gradient evaluations, of one image through one model each.
        passes: Forward passes, of one image through one model each.
        operations: Floating-point operations of gradients and passes; None where a model's are not known (timm).
        own: Bytes of subset, adversarial images, predictions and weights.
        shared: Bytes of the data set, and of LPIPS's weights where `lpips` is true.
        folders: Folder of the experiment -> bytes of both that are yet to be written there.
    """

    cells: int
    gradients: int
    passes: int
    operations: float | None
    own: int
    shared: int
    folders: Mapping[str, int]

    @property
    def written(self) -> int:
        """Bytes that are yet to be written."""
        return sum(self.folders.values())

    def seconds(self, rate: float | None = None) -> float | None:
        """Estimated seconds at `rate` gradients a second (a forward pass is half a gradient), else at RATE operations.

        None where no rate is given and the operations are not known.
        """
        if rate is not None:
            return (self.gradients + self.passes / 2) / rate
        return None if self.operations is None else self.operations / GPU_OPERATIONS_A_SECOND


def attacked_images(experiment: Experiment, evaluated: int | None = None) -> int | None:
    """The number of attacked images by params.yaml: an upper limit where it says `all`; None if unknown.

    Args:
        experiment: Its params.yaml.
        evaluated: How many images the data set has; by its name, where not given.
    """
    subset, data = experiment.subset, experiment.dataset
    if subset.uses_tuning:
        return subset.tuning
    most = data.IMAGES if evaluated is None else evaluated
    if subset.images != "all":
        return subset.images if most is None else min(subset.images, most)
    if subset.of == "correct" and data.CORRECT_IMAGES is not None and set(experiment.models) >= DEFAULT_MODELS:
        most = data.CORRECT_IMAGES if most is None else min(most, data.CORRECT_IMAGES)
    return None if most is None else max(most - (subset.tuning or 0), 0)


def cost(
    experiment: Experiment,
    *,
    images: int | None = None,
    evaluated: int | None = None,
    training: int | None = None,
    pending: Container[str] | None = None,
) -> Cost:
    """Count the cost of an experiment.

    Args:
        experiment: Its params.yaml.
        images: How many images are attacked; as params.yaml says, where not given.
        evaluated: How many images the data set has; likewise. An `imagefolder` that is not given counts as its subset.
        training: How many training images it has; likewise.
        pending: The outputs (`adversarial/fnn0/fgsm.safetensors`) that have yet to be made; all, where not given.
            Other outputs cost no time, but their disk.
    """
    data = experiment.dataset
    images = images or attacked_images(experiment, evaluated) or 0
    evaluated = evaluated or data.IMAGES or images
    gradients = dict.fromkeys(experiment.models, 0)
    passes = dict.fromkeys(experiment.models, 0)
    for model, count in _gradients(experiment, images, pending):
        gradients[model] += count
    for model, count in _passes(experiment, images, evaluated, pending):
        defended = find_defended(model)
        passes[model] += count * (defended.draws if defended else 1)
    by_model = []
    for model in experiment.models:
        known = network_size(model)
        by_model += [known.operations * (2 * gradients[model] + passes[model])] if known else []
    operations = math.fsum(by_model) if len(by_model) == len(experiment.models) else None
    sizes = output_sizes(experiment, images, evaluated, training)
    shared = sum(size for out, size in sizes.items() if out.startswith(SHARED))
    folders: dict[str, int] = {}
    for out, size in sizes.items():
        if _is_pending(out, pending):
            folder = out.partition("/")[0]
            folders[folder] = folders.get(folder, 0) + size
    cells = len(experiment.sources) * len(experiment.rows)
    total = sum(gradients.values()), sum(passes.values())
    return Cost(cells, *total, operations, sum(sizes.values()) - shared, shared, folders)


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
    is_zoos = all(registry.spec(plain_name(model)).library == "crossfool" for model in experiment.models)
    return is_zoos and not experiment.own_models


def count_text(count: int) -> str:
    """A large count in words, rounded to thousands: 12,000, or 3.4 million."""
    return f"{count / 1e6:,.1f} million" if count >= 1e6 else f"{round(count, -3):,}"


def bytes_text(count: int) -> str:
    """A number of bytes in GB, MB or kB."""
    if count < 1e6:
        return f"{count / 1e3:.0f} kB"
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def duration_text(seconds: float) -> str:
    """A time in seconds, minutes, hours or days."""
    for limit, unit, name in ((100, 1, "seconds"), (5400, 60, "minutes"), (172_800, 3600, "hours")):
        if seconds < limit:
            return f"{seconds / unit:.{0 if seconds >= 10 * unit else 1}f} {name}"
    return f"{seconds / 86_400:,.1f} days"
