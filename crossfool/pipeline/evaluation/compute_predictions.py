"""Compute predictions of target models for sets of images, in this process or by an engine's workers, in equal batches.

A task is a chunk of images, predicted by a model; on a GPU by several, since they share transforms, which the CPU
computes.
"""

import contextlib
import functools
from collections.abc import Generator, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from tqdm import tqdm

from crossfool.errors import refuse_unit_images
from crossfool.models.inference import pixel_model
from crossfool.models.inference.config import Compute
from crossfool.pipeline.evaluation import predict_order
from crossfool.pipeline.evaluation.predict import top5
from crossfool.pipeline.evaluation.predict_order import PLAIN, Transform, Variation, tensor_name
from crossfool.pipeline.workers.task import Engine, Task, Tensors
from crossfool.runtime import choose_device

Key = TypeVar("Key", bound=Hashable)
Missing = dict[tuple[Key, str], tuple[Variation, ...]]  # set and target model -> variations to compute
ComputedSets = Generator[
    tuple[tuple[Key, str], dict[Variation, np.ndarray]], None, None
]  # set and target model, and what of them was computed: variation -> top-5 classes (N,5)
_Group = tuple[Key, tuple[str, ...], tuple[Variation, ...]]  # set, target models, variations

MODELS_TOGETHER = {"cuda": 8}  # device type -> models that a task's worker holds at a time; one where not named


@dataclass(frozen=True)
class ImageSet:
    """Images to predict.

    Attributes:
        images: (N,C,H,W) uint8 or float32, pixels 0..255, N > 0; may be a memory map.
        ids: The images' ids in the data set, (N,).
        levels: Transform -> its levels, for predictions beside those of the images as they are.
        transform: A module's function that transforms images, `image_transforms.apply`; needed where there are levels.
            Given by the caller, so that clean predictions do not depend on the code of transforms.
        fingerprints: Transform -> hash of its code, for the names of kept predictions.
        libraries: Transform -> distributions besides torch that compute it.
    """

    images: np.ndarray
    ids: Sequence[int]
    levels: Mapping[str, Sequence[float]] = field(default_factory=dict)
    transform: Transform | None = None
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    libraries: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def variations(self) -> tuple[Variation, ...]:
        """List the variations to predict: the images as they are, and after each transform at each level."""
        return (PLAIN, *predict_order.variations(self.levels))


def _groups(missing: Missing[Key], together: int) -> Iterator[_Group[Key]]:
    """Yield set, models and variations to compute: models of equal variations in groups of limited size."""
    models: dict[tuple[Key, tuple[Variation, ...]], list[str]] = {}
    for (key, model), variations in missing.items():
        models.setdefault((key, variations), []).append(model)
    for (key, variations), names in models.items():
        for start in range(0, len(names), together):
            yield key, tuple(names[start : start + together]), variations


def compute_here(
    models: Mapping[str, Path], sets: Mapping[Key, ImageSet], missing: Missing[Key], compute: Compute
) -> ComputedSets[Key]:
    """Compute predictions in this process, all models loaded, so that a transform is computed once for all."""
    device = choose_device()
    needed = dict.fromkeys(model for _, model in missing)
    networks = {model: pixel_model.load(models[model], device=device, compute=compute) for model in needed}
    for (key, model), variations in missing.items():
        if PLAIN in variations:
            top = top5(networks[model], sets[key].images, batch=compute.chunk, device=device, label=model)
            yield (key, model), {PLAIN: top}
    for key, names, variations in _groups(missing, max(1, len(missing))):
        transformed = [variation for variation in variations if variation != PLAIN]
        if transformed:
            some = {model: networks[model] for model in names}
            yield from _transformed_here(key, sets[key], some, transformed, compute, device)


def _transformed_here(
    key: Key,
    images: ImageSet,
    networks: Mapping[str, pixel_model.PixelModel],
    variations: Sequence[Variation],
    compute: Compute,
    device: torch.device,
) -> ComputedSets[Key]:
    """Predict transformed images of a set in this process; each is computed once for all models."""
    assert images.transform is not None, "an image set with levels has the function that transforms"
    parts: dict[str, dict[Variation, list[np.ndarray]]] = {model: {one: [] for one in variations} for model in networks}
    with tqdm(total=len(images.images) * len(variations), desc="transform", unit="image") as progress:
        for start in range(0, len(images.images), compute.chunk):
            part = slice(start, start + compute.chunk)
            chunk = torch.from_numpy(np.array(images.images[part]))
            for one in variations:
                changed = images.transform(*one, chunk, images.ids[part]).numpy()
                for model, network in networks.items():
                    parts[model][one].append(top5(network, changed, batch=compute.chunk, device=device))
                progress.update(len(changed))
    for model, by_variation in parts.items():
        yield (key, model), {one: np.concatenate(chunks) for one, chunks in by_variation.items()}


def compute_with_engine(
    engine: Engine,
    models: Mapping[str, Path],
    sets: Mapping[Key, ImageSet],
    missing: Missing[Key],
    compute: Compute,
    digests: Mapping[str, str],
    libraries: Mapping[str, str],
    name: str,
) -> ComputedSets[Key]:
    """Compute predictions by an engine's workers; yield those of a set and model once all chunks are there."""
    chunks: dict[Key, list[functools.partial[dict[str, np.ndarray]]]] = {}
    for key in dict.fromkeys(key for key, _ in missing):
        images = sets[key].images
        if images.dtype != np.uint8:
            refuse_unit_images(images)
        starts = range(0, len(images), compute.chunk)
        parts = [slice(start, min(start + compute.chunk, len(images))) for start in starts]
        chunks[key] = [functools.partial(_chunk_arrays, sets[key], part) for part in parts]
    # sorted by models, so that workers seldom load any
    groups = sorted(_groups(missing, MODELS_TOGETHER.get(engine.kind, 1)), key=lambda group: group[1])
    places: dict[Task, tuple[_Group[Key], int]] = {}
    finished: dict[_Group[Key], dict[int, Tensors]] = {group: {} for group in groups}
    for group in groups:
        key, names, variations = group
        transforming = (name for one, _ in variations for name in sets[key].libraries.get(one, ()))
        distributions = sorted({libraries[model] for model in names} - {"crossfool"} | set(transforming))
        weights = {model: digests[model] for model in names}
        order = predict_order.make_order(weights, compute, variations, sets[key].transform, distributions)
        files = tuple(models[model] for model in names)
        for number, arrays in enumerate(chunks[key]):
            places[Task(order, files, arrays, f"{len(places):08d}")] = group, number
    total = sum(len(sets[key].images) * len(variations) for (key, _), variations in missing.items())
    with (
        contextlib.closing(engine.run(list(places), name)) as computed,
        tqdm(total=total, desc=name, unit="image") as progress,
    ):
        for task, tensors in computed:
            group, number = places[task]
            finished[group][number] = tensors
            progress.update(sum(len(top) for top in tensors.values()))
            if len(finished[group]) == len(chunks[group[0]]):
                yield from _joined(group, finished.pop(group))


def _joined(group: _Group[Key], finished: Mapping[int, Tensors]) -> ComputedSets[Key]:
    """Join the chunks of a group, given by number, to the predictions of each model."""
    key, names, variations = group
    in_order = [finished[number] for number in sorted(finished)]
    for model in names:
        yield (
            (key, model),
            {one: np.concatenate([part[tensor_name(model, one)] for part in in_order]) for one in variations},
        )


def _chunk_arrays(images: ImageSet, part: slice) -> dict[str, np.ndarray]:
    """Arrays of a task, see `PredictOrder.compute_tensors`."""
    return {
        "images": np.array(images.images[part]),
        "ids": np.array(images.ids[part], np.int64),
        "start": np.array([part.start], np.int64),
    }
