"""Predict the five most probable classes of uint8 images, and check a model's accuracy against the published one."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from crossfool.errors import UserError, refuse_unit_images
from crossfool.models.inference.batch_size import Fit
from crossfool.models.inference.pixel_model import PixelModel
from crossfool.stats import rates

_PREPROCESSING = "resize 256 bilinear, crop 224"  # of the stored images
_TOLERANCE = 0.5  # points between measured and published or known top-1 on a whole data set


def top5(
    model: PixelModel,
    images: np.ndarray,
    *,
    batch: int,
    device: torch.device,
    label: str = "",
    start: int | None = None,
) -> np.ndarray:
    """Predict the five most probable classes (N,5) of images (N,C,H,W), the most probable first.

    Args:
        model: A model on pixels 0..255.
        images: Images uint8 or float32, pixels 0..255; may be a memory map, which is read a batch at a time.
        batch: Images a forward pass.
        device: The device of the model.
        label: The model's name, for the progress bar and errors; no bar where it is empty.
        start: Place of the first image in a greater set, of which these are a part and which is checked for pixels
            0..1 as a whole; no bar is shown for a part. None where these are all images.

    Raises:
        UserError: a logit is not finite, or the images' pixels are 0..1.
    """
    if not len(images):
        return np.empty((0, 5), np.int64)
    if images.dtype != np.uint8 and start is None:
        refuse_unit_images(images)

    def predict_batch(part: slice, _: int) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.from_numpy(np.array(images[part]))
        if device.type == "cuda":  # the next batch is read and sent while this one is computed
            x = x.pin_memory()
        x = x.to(device, non_blocking=True).float().contiguous(memory_format=torch.channels_last)
        logits = model(x)
        progress.update(len(x))
        return logits.topk(5).indices, logits.isfinite().all(1)

    hidden = not label or start is not None
    with torch.inference_mode(), tqdm(total=len(images), desc=label, unit="image", disable=hidden) as progress:
        predictions, finite = (
            torch.cat(parts) for parts in zip(*Fit(batch, device).map(predict_batch, len(images)), strict=True)
        )
    if not finite.all():
        place = (start or 0) + int((~finite).nonzero()[0])
        raise UserError(f"the logits of {label or 'a model'} for image {place} are not finite; look at its weights")
    return predictions.cpu().numpy()


def accuracy(
    top: np.ndarray, labels: np.ndarray, *, dataset: str, about: Mapping[str, Any], known_top1: float | None = None
) -> dict[str, Any]:
    """Compute clean accuracy in percent, with Wilson 95% intervals, beside the published one.

    On the whole ImageNet validation set the two must agree, for a model that was published on images
    resized and cropped as ours are: one that does not has the wrong weights or normalisation. On a data set
    whose accuracy is known from an earlier measurement, likewise.

    Args:
        top: Predictions (N,5) for the clean images.
        labels: True classes, (N,).
        dataset: Name of the data set.
        about: Description of the model in its weights file, see `weights_file.read_description`.
        known_top1: The model's accuracy on this data set in percent; None where none is known.

    Raises:
        UserError: top-1 differs by more than half a point from the published or the known one.
    """
    top1_rate = rates.wilson_rate(int((top[:, 0] == labels).sum()), len(labels))
    top5_rate = rates.wilson_rate(int((top == labels[:, None]).any(1).sum()), len(labels))
    published = about["published_top1"]
    comparable = dataset == "imagenet" and published is not None and about["published_preprocessing"] == _PREPROCESSING
    if comparable and abs(top1_rate.percent - published) > _TOLERANCE:
        raise UserError(
            f"{about['name']}: top-1 accuracy on the validation set is {top1_rate.percent:.2f}%, published is "
            f"{published:.2f}%, more than {_TOLERANCE} points apart: images, resizing or weights are wrong"
        )
    if known_top1 is not None and abs(top1_rate.percent - known_top1) > _TOLERANCE:
        raise UserError(
            f"{about['name']}: top-1 accuracy on {dataset} is {top1_rate.percent:.2f}%, known is {known_top1:.2f}%, "
            f"more than {_TOLERANCE} points apart: images, resizing or weights are wrong"
        )
    return {
        "top1": top1_rate.percent,
        "top1_low": top1_rate.low,
        "top1_high": top1_rate.high,
        "top5": top5_rate.percent,
        "top5_low": top5_rate.low,
        "top5_high": top5_rate.high,
        "n": len(labels),
        "published_top1": published,
        "parameters": about["parameters"],
    }
