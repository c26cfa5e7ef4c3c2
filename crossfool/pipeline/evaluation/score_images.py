"""Success of adversarial images on a model, over all of them and over those whose clean images the model gets right."""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from crossfool.errors import UserError
from crossfool.models.inference import pixel_model
from crossfool.models.inference.config import Compute
from crossfool.models.weights_file import read_description
from crossfool.pipeline.evaluation import predict, success
from crossfool.runtime import choose_device
from crossfool.storage.exported_images import ExportedFolder
from crossfool.storage.hashing import sha256
from crossfool.storage.tensors import TensorFile


def score_exported(folder: ExportedFolder, name: str, weights: Path) -> Iterator[dict[str, Any]]:
    """Score the cells of an exported folder on a model, as `evaluate` does, and yield a row of each.

    A row has `source`, `attack`, `objective`, `target`, `whitebox` (whether the target is a member of the source),
    `weights` (the sha256 of its weights file), `all` and `right` (`success.counted_rates` over all images, and over
    those whose clean images the model classifies correctly), and `clean_error` in percent.

    Args:
        folder: The exported folder.
        name: The model's.
        weights: Its weights file.

    Raises:
        UserError: the model has other classes than the images, a file is damaged, or a logit is not finite.
    """
    family = read_description(TensorFile(weights), name)["family"]
    if family != folder.family:
        raise UserError(
            f"{name} has the classes of {family}, and the images in {folder.folder} those of {folder.family}; "
            f"choose a model of `crossfool list models --filter {folder.family}`"
        )
    device, digest = choose_device(), sha256(weights)

    @functools.cache
    def load(settings: str) -> pixel_model.PixelModel:
        return pixel_model.load(weights, device=device, compute=Compute.model_validate_json(settings))

    clean_right: dict[str, np.ndarray] = {}
    for cell in folder.cells():
        compute = Compute.model_validate(cell.record["compute"])
        settings = compute.model_dump_json()
        top5 = functools.partial(predict.top5, load(settings), batch=compute.chunk, device=device, label=name)
        if settings not in clean_right:
            clean_right[settings] = top5(cell.clean)[:, 0] == cell.labels
        right, top = clean_right[settings], top5(cell.adversarial)
        yield {
            "source": cell.source,
            "attack": cell.attack,
            "objective": "untargeted" if cell.target_labels is None else "targeted",
            "target": name,
            "whitebox": name in cell.source.split("+"),
            "weights": digest,
            "all": success.counted_rates(top, cell.labels, cell.target_labels),
            "right": success.counted_rates(top, cell.labels, cell.target_labels, right),
            "clean_error": round(100 * float(1 - right.mean()), 4),
        }
