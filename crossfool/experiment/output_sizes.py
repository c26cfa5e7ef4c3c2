"""Bytes of an experiment's outputs, from its params.yaml and numbers of images. Imports no torch.

Images are stored as they are, one byte a channel, and weights as float32: their sizes are exact, but for headers of a
few kilobytes. Tables of predictions are compressed by parquet, so that theirs are estimates, from the number of bits
that a class takes. Not counted are metrics, analyses and the report, some ten megabytes in all.
"""

import math

from crossfool.attacks.config import Attack
from crossfool.datasets.preparation.class_names import class_names
from crossfool.experiment.config import Experiment
from crossfool.experiment.network_sizes import network_size

TRAINING_IMAGE_COUNTS = {"mnist": 60_000, "cifar10": 50_000}  # stored where a model is trained
LPIPS_BYTES = 9_880_000  # of its weights
NUMBER_BYTES = 8  # of a label, or an image's id, beside images
TABLE_BYTES = 3_000  # of a parquet file without rows
INFLATION = 1.2  # bits that parquet takes for a class, over the least that tells classes apart
SHARED = "data/"  # outputs that experiments of one data set share through DVC's cache


def output_sizes(experiment: Experiment, images: int, evaluated: int, training: int | None = None) -> dict[str, int]:
    """Output -> its bytes, for outputs whose size grows with images or models; timm's weights count as none.

    Args:
        experiment: Its params.yaml.
        images: The number of attacked images.
        evaluated: The number of images in the data set.
        training: The number of training images, where it is known; the data set's own otherwise.
    """
    shape = experiment.dataset.shape
    size = shape.channels * shape.side**2  # bytes an image
    if experiment.training is None:
        training = 0
    elif training is None:
        training = TRAINING_IMAGE_COUNTS.get(experiment.dataset.family, 0)
    sizes = {
        "data/images.safetensors": evaluated * (size + NUMBER_BYTES),
        "data/train.safetensors": training * (size + NUMBER_BYTES),
        "data/lpips.safetensors": LPIPS_BYTES if experiment.lpips else 0,
    }
    for model in experiment.models:
        known = network_size(model)
        sizes[f"weights/{model}.safetensors"] = 4 * known.parameters if known else 0
        sizes[f"predictions/clean/{model}.parquet"] = _table(experiment, evaluated, 1)
    flags = len(experiment.models) if experiment.subset.of == "all" else 0  # which models are right on an image
    sizes["subset/images.safetensors"] = images * (size + 3 * NUMBER_BYTES + flags)
    levels, targets = sum(map(len, experiment.transforms.values())), len(experiment.answering)
    for source in experiment.sources:
        for attack, row in experiment.rows.items():
            sizes[f"adversarial/{source}/{attack}.safetensors"] = images * size * (1 + _further_copies(row))
            sizes[f"predictions/{source}/{attack}.parquet"] = _table(experiment, images, targets)
            if attack in experiment.attacks and levels:
                sizes[f"transformed/{source}/{attack}.parquet"] = _table(experiment, images, targets * levels)
    return sizes


def snapshot_bytes(experiment: Experiment, images: int) -> int:
    """Bytes of what cells keep beside their final images: snapshots, and images before they were rounded."""
    shape = experiment.dataset.shape
    copies = sum(map(_further_copies, experiment.rows.values()))
    return images * shape.channels * shape.side**2 * copies * len(experiment.sources)


def _further_copies(row: Attack) -> int:
    """Size of a cell's further copies of its images, in multiples of the final uint8 images: a float32 copy is 4."""
    return len(row.snapshots) + 4 * bool(row.quantisation)


def _table(experiment: Experiment, images: int, answers: int) -> int:
    """Estimated bytes of a table of top-5 classes, with `answers` rows for each image."""
    class_bytes = INFLATION * math.log2(len(class_names(experiment.dataset.family))) / 8
    return round(TABLE_BYTES + images * (3 + 2 * class_bytes + 5 * class_bytes * answers))
