"""Attacks from Python, without params.yaml and DVC: load a model, attack images by a row, count success.

The results are those of a cell: the same code computes them, so that images, ids and row of a cell give its bytes.
Pixels are 0..255 throughout. docs/api.md shows the use.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from crossfool.attacks.config import Attack
from crossfool.config import Section
from crossfool.errors import UserError, brief, refuse_unit_images
from crossfool.experiment import loading
from crossfool.models.inference.config import Compute
from crossfool.models.inference.named_model import Model, load_model, wrap_model
from crossfool.pipeline.crafting.cell_inputs import Cell
from crossfool.pipeline.crafting.device_crafter import Crafter, fit_batches
from crossfool.pipeline.evaluation import predict
from crossfool.pipeline.evaluation.success import counted_rates

__all__ = ["Model", "attack", "load_model", "success", "wrap_model"]

Images = Tensor | np.ndarray
Classes = Tensor | np.ndarray | Sequence[int]
CHUNK = 20  # images that go through a model at once, as in the default benchmark
RANKS = 5  # classes that success is counted by


class _Rows(Section):
    """The part of params.yaml that a row stands in, so that its errors are those of params.yaml."""

    attacks: dict[str, Attack]


def attack(
    models: Model | Sequence[Model],
    images: Images,
    labels: Classes,
    row: Mapping[str, Any],
    targets: Classes | None = None,
    *,
    ids: Classes | None = None,
    chunk: int = CHUNK,
) -> Tensor:
    """Make adversarial images, as a cell of an experiment has them.

    Args:
        models: The source model, or the members of an ensemble.
        images: Clean images (N,C,H,W), whole pixels 0..255.
        labels: True classes, (N,).
        row: A row of `attacks` in params.yaml, such as `{"epsilon": 8, "steps": 10, "step_size": 1}`; its key `seed`
            decides all that is drawn at random.
        targets: Classes that a targeted attack aims at, (N,).
        ids: The images' ids, by which noise is drawn, (N,); places from 0 where not given. A cell's are the tensor
            `index` of `subset/images.safetensors`.
        chunk: Images that go through the models at once; attacks of torchattack depend on it, others but for rounding.

    Returns:
        Images (N,C,H,W) uint8, on the CPU.

    Raises:
        UserError: the row, an image or a label is not valid, or a gradient is not finite or zero everywhere.
    """
    members = [models] if isinstance(models, Model) else list(models)
    if not members:
        raise UserError("models is empty, expected a model or several")
    parsed, pixels = _row(row), _pixels(images, "images")
    built = next((model.name for model in members if parsed.needs_original_network and not model.as_built), None)
    if built is not None:
        raise UserError(f"{parsed.method} looks into the layers of {built}; load the model with as_built=True")
    if parsed.targeted != (targets is not None):
        given = "objective: targeted, and no targets are" if parsed.targeted else "no objective: targeted, but targets"
        raise UserError(f"the row has {given} given; give both or neither")
    for model in members:
        _check_classes(model, pixels, labels, targets)
    subset = {
        "images": pixels,
        "labels": _array(labels).astype(np.int64),
        "target_labels": _array(labels if targets is None else targets).astype(np.int64),
        "index": _array(range(len(pixels)) if ids is None else ids).astype(np.int64),
    }
    if subset["index"].shape != (len(pixels),):
        raise UserError(f"ids have the shape {subset['index'].shape}, expected ({len(pixels)},), one an image")
    source = {"source": "+".join(model.name for model in members), "members": {model.name: {} for model in members}}
    cell = Cell(source, "attack", parsed, Compute(chunk=chunk), Path())
    networks, device = [model.network for model in members], members[0].device
    crafter = Crafter(cell, networks, subset, device, fit_batches(cell, networks, pixels, device))
    parts = [slice(start, min(start + chunk, len(pixels))) for start in range(0, len(pixels), chunk)]
    return torch.cat([torch.from_numpy(crafted["images"]) for _, crafted in crafter.chunks(parts)])


def success(
    model: Model,
    images: Images,
    labels: Classes,
    targets: Classes | None = None,
    *,
    clean: Images | None = None,
    chunk: int = CHUNK,
) -> dict[str, Any]:
    """Count how often adversarial images fool a model, as metrics/ does.

    Untargeted, an attack succeeds where the prediction is not the label; with `targets`, where it is the target.

    Args:
        model: The target model.
        images: Adversarial images (N,C,H,W), whole pixels 0..255.
        labels: True classes, (N,).
        targets: Classes that a targeted attack aims at, (N,).
        clean: Clean images (N,C,H,W); if they are given, only those count that the model classifies correctly.
        chunk: Images that go through the model at once.

    Returns:
        `top1` in percent with its Wilson 95% interval `top1_low`, `top1_high`; the same of `top5`; and `n`, the number
        of images that count.

    Raises:
        UserError: an image or a label is not valid, a logit is not finite, or no image counts.
    """
    pixels = _pixels(images, "images")
    if _check_classes(model, pixels, labels, targets) < RANKS:
        raise UserError(f"{model.name} has fewer than {RANKS} classes, by which success is counted")
    truth, aims = _array(labels), None if targets is None else _array(targets)
    counted = None
    if clean is not None:
        originals = _pixels(clean, "clean")
        if originals.shape != pixels.shape:
            raise UserError(f"clean are {originals.shape}, expected {pixels.shape}, the shape of images")
        counted = _top5(model, originals, chunk)[:, 0] == truth
    found = counted_rates(_top5(model, pixels, chunk), truth, aims, counted)
    if found is None:
        raise UserError(f"{model.name} classifies no clean image correctly, so that none counts; look at the labels")
    return found


def _top5(model: Model, images: np.ndarray, chunk: int) -> np.ndarray:
    return predict.top5(model.network, images, batch=chunk, device=model.device)


def _array(values: Classes) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def _row(row: Mapping[str, Any]) -> Attack:
    """A row of `attacks`, checked as params.yaml is."""
    try:
        return _Rows.model_validate({"attacks": {"row": dict(row)}}).attacks["row"]
    except ValidationError as error:
        raise UserError(loading.first_message(error).removeprefix("attacks: ")) from None


def _pixels(images: Images, name: str) -> np.ndarray:
    """Images (N,C,H,W) as an array of uint8.

    Raises:
        UserError: the shape is another, there are no images, or pixels are not whole numbers 0..255.
    """
    array = _array(images)
    if array.ndim != 4 or 0 in array.shape:
        raise UserError(f"{name} have the shape {array.shape}, expected (N,C,H,W)")
    if array.dtype != np.uint8:
        refuse_unit_images(array)
        if not ((array >= 0) & (array <= 255) & (array % 1 == 0)).all():
            raise UserError(f"{name} have pixels that are no whole numbers from 0 to 255; round and clip them")
    return np.ascontiguousarray(array, np.uint8)


def _check_classes(
    model: Model,
    images: np.ndarray,
    labels: Classes,
    targets: Classes | None,
) -> int:
    """Check that labels and targets are classes of a model, one an image; return the number of its classes.

    Raises:
        UserError: they are not, or the model does not take the images.
    """
    try:
        with torch.inference_mode():
            classes = model(torch.from_numpy(np.array(images[:1]))).shape[1]
    except RuntimeError as error:
        raise UserError(f"{model.name} does not take images of {images.shape[1:]} ({brief(error)})") from None
    for name, given in (("labels", labels), ("targets", targets)):
        if given is None:
            continue
        values = _array(given)
        if values.shape != (len(images),) or values.dtype.kind not in "iu":
            raise UserError(f"{name} are {values.dtype} {values.shape}, expected ({len(images)},) whole numbers")
        if values.min() < 0 or values.max() >= classes:
            raise UserError(
                f"{name} are {values.min()} to {values.max()}, and {model.name} has the classes 0 to {classes - 1}"
            )
    return int(classes)
