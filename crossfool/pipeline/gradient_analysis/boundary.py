"""Write the classes that target models predict in the plane of a source's smoothed gradient and its noise."""

import functools
import json
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from crossfool.models.inference import pixel_model
from crossfool.models.inference.config import Compute
from crossfool.pipeline.gradient_analysis import analysis
from crossfool.pipeline.gradient_analysis.config import Boundary
from crossfool.runtime import choose_device
from crossfool.storage.clean_images import read_clean_images
from crossfool.storage.tensors import write_tensors


def write_boundary(name: str, row: Boundary, compute: Compute) -> None:
    """Compute a row of `boundary` and write analysis/boundary/<name>.safetensors in the current folder.

    Raises:
        UserError: the data set has no such image, or a gradient is not finite.
    """
    where, data = choose_device(), read_clean_images("data/images.safetensors")
    image, label = analysis.image_by_id(data["images"], row.image), int(data["labels"][row.image])
    x = torch.from_numpy(image).float().to(where)
    load = functools.partial(pixel_model.load, device=where, compute=compute)
    source = load(Path("weights") / f"{row.source}.safetensors")
    axes = analysis.plane_axes(source, x, label, row, batch=compute.chunk)
    steps = np.linspace(-row.extent, row.extent, row.points, dtype=np.float32)
    planes = []
    for target in tqdm(row.targets, desc=name, unit="model"):
        model = load(Path("weights") / f"{target}.safetensors")
        planes.append(analysis.predicted_plane(model, x, axes, steps, steps, batch=compute.chunk))
    write_tensors(
        Path("analysis/boundary") / f"{name}.safetensors",
        {"labels": np.stack(planes), "u": steps, "v": steps, "image": image},
        {"label": str(label), "params": json.dumps(row.model_dump())},
    )
