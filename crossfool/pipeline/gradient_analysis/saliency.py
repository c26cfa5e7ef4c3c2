"""Write a model's gradients, plain and smoothed, at images that params.yaml names."""

import json
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from crossfool.models.inference import pixel_model
from crossfool.models.inference.config import Compute
from crossfool.pipeline.gradient_analysis import analysis
from crossfool.pipeline.gradient_analysis.config import Saliency
from crossfool.runtime import choose_device
from crossfool.storage.clean_images import read_clean_images
from crossfool.storage.tensors import write_tensors


def write_saliency(name: str, row: Saliency, compute: Compute) -> None:
    """Compute a row of `saliency` and write analysis/saliency/<name>.safetensors in the current folder.

    Raises:
        UserError: the data set has no such image, or a gradient is not finite.
    """
    where, data = choose_device(), read_clean_images("data/images.safetensors")
    images = np.stack([analysis.image_by_id(data["images"], id) for id in row.images])
    labels = data["labels"][list(row.images)]
    model = pixel_model.load(Path("weights") / f"{row.model}.safetensors", device=where, compute=compute)
    gradients = [
        analysis.saliency_gradients(
            model, torch.from_numpy(image).float().to(where), int(label), id, row, batch=compute.chunk
        )
        for id, image, label in zip(row.images, images, tqdm(labels, desc=name, unit="image"), strict=True)
    ]
    write_tensors(
        Path("analysis/saliency") / f"{name}.safetensors",
        {"images": images, "labels": np.asarray(labels), "gradients": np.stack(gradients)},
        {"params": json.dumps(row.model_dump())},
    )
