"""Train a model and write its weights file."""

from pathlib import Path

import torch

from crossfool.models import build, weights_file
from crossfool.models.spec import Spec
from crossfool.models.weights import model_description, training
from crossfool.models.weights.config import Training
from crossfool.runtime import keep_freed_memory
from crossfool.storage.clean_images import read_clean_images


def train_model(
    spec: Spec, recipe: Training, images_file: Path, out: Path, *, device: torch.device, scratch: Path
) -> None:
    """Train a model from its seed and write its weights to `out`; a killed run goes on after its last epoch.

    Args:
        spec: The model's.
        recipe: How it is trained.
        images_file: The training images and labels.
        out: The weights file.
        device: Where to train.
        scratch: Folder of the file that a killed run is resumed from.

    Raises:
        UserError: there are no training images, or the loss is no longer finite.
    """
    checkpoint = scratch / f"{spec.name}.safetensors"
    keep_freed_memory()
    images = read_clean_images(images_file)
    network = training.init_from_seed(lambda: build.build(spec.network or spec.name, spec.library), recipe.seed)
    state = training.train(
        network,
        images["images"],
        images["labels"],
        recipe,
        normalise=(spec.mean, spec.std),
        device=device,
        checkpoint=checkpoint,
        label=spec.name,
    )
    description = model_description.describe(spec, network) | {"recipe": recipe.model_dump(exclude={"retrain"})}
    weights_file.write_weights(out, state, description)
    checkpoint.unlink(missing_ok=True)  # not sooner: a kill in between would lose all epochs
