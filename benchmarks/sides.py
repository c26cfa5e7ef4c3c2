"""Measure the accuracy of EfficientNet-Lite at 224 px and at the sides it was published for, by how images are cropped.

Data are the 1,000 photographs of imagenet-sample-images: `python benchmarks/sides.py [--photographs FOLDER_OR_TAR]`.
"""

import io
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from crossfool.datasets import imagenet_sample_images
from crossfool.datasets.preparation.class_names import class_folders
from crossfool.datasets.reading import image_files
from crossfool.models.networks.efficientnet_lite import EfficientNetLite
from crossfool.models.weights import checkpoint_file, published, registry
from crossfool.models.weights.config import Weights

NATIVE = {0: 224, 1: 240, 2: 260}  # Lite's number -> side that it was published for
WAYS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def crops(photographs: list[bytes], resize: int, side: int, way: str) -> torch.Tensor:
    """Resize photographs to a shorter side of `resize` and crop the centre, (N,3,side,side) uint8."""
    pixels = []
    for data in photographs:
        image = Image.open(io.BytesIO(data)).convert("RGB")
        width, height = image.size
        size = (resize, int(resize * height / width)) if width <= height else (int(resize * width / height), resize)
        image = image.resize(size, WAYS[way])
        left, top = round((image.width - side) / 2), round((image.height - side) / 2)
        pixels.append(np.asarray(image.crop((left, top, left + side, top + side))).transpose(2, 0, 1))
    return torch.from_numpy(np.stack(pixels))


def network(number: int, side: int) -> EfficientNetLite:
    """EfficientNet-Lite with its published weights, padded for images of a side in pixels."""
    made = EfficientNetLite(number, side)
    spec = registry.spec(f"efficientnet_lite{number}")
    made.load_state_dict(made.adapted(checkpoint_file.read(published.find_weights(spec, Weights()))))
    return made.eval()


@torch.inference_mode()
def accuracy(number: int, side: int, images: torch.Tensor, labels: np.ndarray, way: str = "bilinear") -> float:
    """Percent of images (N,3,H,W) that a network at `side` gets right; images of another side are resized to it."""
    made, right = network(number, side), 0
    for batch, expected in zip(images.split(50), np.array_split(labels, len(labels) // 50), strict=True):
        x = batch.float()
        if x.shape[-1] != side:
            x = F.interpolate(x, size=(side, side), mode=way, antialias=True)
        right += int((made((x - 127) / 128).argmax(1).numpy() == expected).sum())
    return 100 * right / len(labels)


def rows(photographs: list[bytes], labels: np.ndarray) -> Iterator[tuple[str, str, dict[int, float]]]:
    """(crop, resizing, Lite's number -> accuracy) of each way to make a network's input."""
    for way in WAYS:
        stored = crops(photographs, 256, 224, way)
        yield "224 of 256, as stored", way, {number: accuracy(number, 224, stored, labels) for number in NATIVE}
    stored = crops(photographs, 256, 224, "bilinear")
    for way in WAYS:
        enlarged = {number: accuracy(number, side, stored, labels, way) for number, side in NATIVE.items() if number}
        yield "224 of 256, enlarged inside to the native side", way, enlarged
    for way in WAYS:
        native = {
            number: accuracy(number, side, crops(photographs, round(side / 0.875), side, way), labels)
            for number, side in NATIVE.items()
            if number
        }
        yield "native side, of 8/7 of it", way, native
    stored = crops(photographs, 297, 260, "bilinear")
    shrunk = {number: accuracy(number, side, stored, labels) for number, side in NATIVE.items()}
    yield "260 of 297 for all, made smaller inside", "bilinear", shrunk


@click.command()
@click.option("--photographs", "place", type=click.Path(path_type=Path, exists=True), help="Folder or tar.")
def main(place: Path | None) -> None:
    """Measure, and print a table."""
    with image_files.open_images(place or imagenet_sample_images.fetched_archive()) as files:
        photographs = [files.read(name) for name in imagenet_sample_images.ordered_names(files)]
    ids = {folder: label for label, folder in enumerate(class_folders("imagenet"))}
    labels = np.array([ids[name.partition("_")[0]] for name in imagenet_sample_images.manifest()])
    click.echo("| crop | resized | Lite0 | Lite1 | Lite2 |\n|---|---|---:|---:|---:|")
    for crop, way, measured in rows(photographs, labels):
        cells = " | ".join(f"{measured[number]:.1f}" if number in measured else "" for number in NATIVE)
        click.echo(f"| {crop} | {way} | {cells} |")


if __name__ == "__main__":
    main()
