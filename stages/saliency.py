"""Compute a model's gradient, plain and smoothed, at the images that params.yaml names."""

import json
from pathlib import Path

import click
import numpy as np
import torch
from tqdm import tqdm

from crossfool.experiment import loading
from crossfool.models.inference import pixel_model
from crossfool.pipeline.gradient_analysis import analysis
from crossfool.pipeline.stage import stage
from crossfool.runtime import choose_device
from crossfool.storage.clean_images import read_clean_images
from crossfool.storage.tensors import write_tensors


@stage
@click.option("--analysis", "name", required=True, help="A name from saliency in params.yaml.")
def main(name: str) -> None:
    experiment = loading.load_experiment()
    row, compute, where = experiment.saliency[name], experiment.compute, choose_device()
    data = read_clean_images("data/images.safetensors")
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


if __name__ == "__main__":
    main()
