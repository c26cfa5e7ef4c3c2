"""Top-5 answers of models to uint8 images, and the gate that a model's accuracy must pass."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from crossfool.errors import UserError, refuse_unit_images
from crossfool.models.inference.batch_size import Fit
from crossfool.models.inference.pixel_model import Pixels
from crossfool.stats import rates

PREPROCESSING = "resize 256 bilinear, crop 224"  # of the stored images
TOLERANCE = 0.5  # points between measured and published top-1 on the whole ImageNet validation set


def top5(model: Pixels, images: np.ndarray, *, batch: int, device: torch.device, label: str = "") -> np.ndarray:
    """The five most probable classes (N,5) of images (N,C,H,W) uint8, the most probable first.

    Args:
        model: On pixels 0..255.
        images: May be a memory map; read a batch at a time.
        batch: Images a forward pass.
        device: The model's.
        label: Of the progress bar; none where it is empty.

    Raises:
        UserError: an answer is not finite, or the images' pixels are 0..1.
    """
    if not len(images):
        return np.empty((0, 5), np.int64)
    if images.dtype != np.uint8:
        refuse_unit_images(images)

    def work(part: slice, _: int) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.from_numpy(np.array(images[part]))
        if device.type == "cuda":  # the next batch is read and sent while this one is computed
            x = x.pin_memory()
        x = x.to(device, non_blocking=True).float().contiguous(memory_format=torch.channels_last)
        logits = model(x)
        progress.update(len(x))
        return logits.topk(5).indices, logits.isfinite().all(1)

    with torch.inference_mode(), tqdm(total=len(images), desc=label, unit="image", disable=not label) as progress:
        answers, finite = (torch.cat(parts) for parts in zip(*Fit(batch, device).map(work, len(images)), strict=True))
    if not finite.all():
        place = int((~finite).nonzero()[0])
        raise UserError(f"the answer of {label or 'a model'} to image {place} is not finite; look at its weights")
    return answers.cpu().numpy()


def accuracy(top: np.ndarray, labels: np.ndarray, *, dataset: str, about: Mapping[str, Any]) -> dict[str, Any]:
    """Clean accuracy in percent, with Wilson 95% intervals, beside the published one.

    On the whole ImageNet validation set the two must agree, for a model that was published on images
    resized and cropped as ours are: one that does not has the wrong weights or normalisation.

    Args:
        top: Answers (N,5).
        labels: (N,).
        dataset: Its name.
        about: The weights file's account of the model.

    Raises:
        UserError: measured and published top-1 differ by more than half a point.
    """
    top1 = rates.rate(int((top[:, 0] == labels).sum()), len(labels))
    right5 = rates.rate(int((top == labels[:, None]).any(1).sum()), len(labels))
    published = about["published_top1"]
    gated = dataset == "imagenet" and published is not None and about["published_preprocessing"] == PREPROCESSING
    if gated and abs(top1.percent - published) > TOLERANCE:
        raise UserError(
            f"{about['name']}: top-1 accuracy on the validation set is {top1.percent:.2f}%, published is "
            f"{published:.2f}%, more than {TOLERANCE} points apart: images, resizing or weights are wrong"
        )
    return {
        "top1": top1.percent,
        "top1_low": top1.low,
        "top1_high": top1.high,
        "top5": right5.percent,
        "top5_low": right5.low,
        "top5_high": right5.high,
        "n": len(labels),
        "published_top1": published,
        "parameters": about["parameters"],
    }
