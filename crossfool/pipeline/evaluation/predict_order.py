"""The order of predictions: what a worker needs to predict a chunk of images, as they are and transformed."""

import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from crossfool.models.inference import pixel_model
from crossfool.models.inference.config import Compute
from crossfool.pipeline.evaluation.predict import top5
from crossfool.pipeline.workers import worker
from crossfool.pipeline.workers.task import TaskFile, Tensors
from crossfool.runtime import choose_device

Variation = tuple[str, float]  # a transform and its level
Transform = Callable[[str, float, torch.Tensor, Sequence[int]], torch.Tensor]  # as `image_transforms.apply`
PLAIN: Variation = ("plain", 0.0)  # the images as they are


def variations(levels: Mapping[str, Sequence[float]]) -> tuple[Variation, ...]:
    """Every level of each transform, in the order of params.yaml."""
    return tuple((name, float(level)) for name, transform_levels in levels.items() for level in transform_levels)


def variation_name(variation: Variation) -> str:
    """Text that names a variation: plain, rotation 10.0."""
    name, level = variation
    return name if variation == PLAIN else f"{name} {level!r}"


def library_versions(names: Sequence[str]) -> dict[str, str]:
    """Versions of installed distributions; "none" for one that is not installed."""
    versions = {}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "none"
    return versions


@dataclass(frozen=True)
class PredictOrder:
    """Target models and variations of images, for a worker that may be on another machine.

    Attributes:
        models: Names of the target models.
        weights: Sha256 of each weights file.
        compute: The section `compute` of params.yaml.
        variations: What to predict of each image.
        transform: A module's function that transforms images; None where no variation is a transform.
        libraries: Distributions besides torch whose versions have to be equal.
        versions: Versions of this process's code and libraries; a worker refuses to compute with others.
    """

    models: tuple[str, ...]
    weights: tuple[str, ...]
    compute: Compute
    variations: tuple[Variation, ...]
    transform: Transform | None
    libraries: tuple[str, ...]
    versions: str

    def current_versions(self) -> str:
        """Versions of the code, torch and the order's libraries, in this process."""
        return current_versions(self.libraries)

    def compute_tensors(self, files: Sequence[TaskFile], arrays: Tensors) -> Tensors:
        """Predict a chunk, in one batch where it fits; a transform is computed once for all models.

        Args:
            files: The models' weights files.
            arrays: `images` (n,C,H,W) uint8 or float32 of a set that was checked for pixels 0..1, `ids` (n,) int64 in
                the data set, and `start` (1,) int64, the place of the first image in its set.

        Returns:
            `tensor_name` -> predictions (n,5) int64.

        Raises:
            UserError: a logit is not finite.
        """

        def load() -> list[pixel_model.PixelModel]:
            return [_load(file, self.compute) for file in files]

        networks = worker.keep_models(("predict", self.weights, self.compute), load)
        images, start = np.array(arrays["images"]), int(arrays["start"][0])
        tensors = {}
        for variation in self.variations:
            changed = images
            if variation != PLAIN:
                assert self.transform is not None, f"no function for {variation_name(variation)}"
                changed = self.transform(*variation, torch.from_numpy(images), arrays["ids"].tolist()).numpy()
            for model, network in zip(self.models, networks, strict=True):
                tensors[tensor_name(model, variation)] = top5(
                    network, changed, batch=self.compute.chunk, device=choose_device(), label=model, start=start
                )
        return tensors


def make_order(
    models: Mapping[str, str],
    compute: Compute,
    variations: tuple[Variation, ...],
    transform: Transform | None,
    libraries: Sequence[str],
) -> PredictOrder:
    """Make an order with the versions of this process.

    Args:
        models: Target model -> sha256 of its weights file.
        compute: The section `compute` of params.yaml.
        variations: What to predict of each image.
        transform: As `PredictOrder` has it.
        libraries: Distributions besides torch that the models come from, and that transform.
    """
    names = tuple(sorted(set(libraries)))
    weights, versions = tuple(models.values()), current_versions(names)
    return PredictOrder(tuple(models), weights, compute, variations, transform, names, versions)


def tensor_name(model: str, variation: Variation) -> str:
    """Name of the tensor of a model's predictions for a variation."""
    return f"{model} {variation_name(variation)}"


def current_versions(libraries: Sequence[str]) -> str:
    """Versions as `worker.versions` gives them, and those of libraries, in this process."""
    return ", ".join(
        [worker.versions(), *(f"{name} {version}" for name, version in library_versions(libraries).items())]
    )


def _load(file: TaskFile, compute: Compute) -> pixel_model.PixelModel:
    """Load a target model in a worker."""
    with worker.local_path(file) as path:
        model = pixel_model.load(path, device=choose_device(), compute=compute)
    model.called = True  # the whole set is checked for pixels 0..1, and a chunk alone may be dark
    return model
