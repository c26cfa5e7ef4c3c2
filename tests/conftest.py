"""Small things that tests share."""

import gc
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor, nn

from crossfool.storage.tensors import write_tensors

# Tests write the params.yaml that they make with PyYAML, and params.yaml may share no objects.
yaml.SafeDumper.ignore_aliases = lambda self, data: True
UNUSED = {"attack": None, "epsilon": [], "steps": [], "step_size": [], "samples": [], "sigma": []}
# Sections of params.yaml that most experiments leave empty.
EMPTY = {
    "targets": "all",
    "lpips": False,
    "grids": {"a": UNUSED, "b": UNUSED},
    "similarity": {},
    "boundary": {},
    "saliency": {},
    "scatter": {"attacks": [], "same_family": False},
}

# Files that take a minute and more: begun first, so that no process of pytest-xdist has one left when others are done.
LONG = (
    "pipeline",
    "sharing",
    "commands",
    "everywhere",
    "standins",
    "benchmarks",
    "stress",
    "engines",
    "stages",
    "warm",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {f"test_{name}.py": place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONG)))


def pytest_collection_finish() -> None:
    """What all tests have imported is no garbage, which loading a model looks for: stages have smaller heaps."""
    gc.freeze()


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)  # tiny networks: threads only get in each other's way


@pytest.fixture
def subset(tmp_path: Path) -> Path:
    """Eleven made images of 1x28x28 with labels, target labels and ids that are not their places."""
    generator = np.random.default_rng(0)
    labels = np.arange(11) % 10
    path = tmp_path / "subset" / "images.safetensors"
    write_tensors(
        path,
        {
            "images": generator.integers(0, 256, (11, 1, 28, 28), np.uint8),
            "labels": labels,
            "target_labels": (labels + 3) % 10,
            "index": np.arange(11) * 7 + 2,
        },
        {"dataset": "made", "family": "mnist", "classes": "10"},
    )
    return path


@pytest.fixture
def fnn_weights(tmp_path: Path) -> Path:
    """A folder with weights files of fnn0 and fnn2, random but seeded."""
    from crossfool.models import weights_file
    from crossfool.models.networks import build
    from crossfool.models.weights import preprocessing, registry

    for seed, name in enumerate(("fnn0", "fnn2")):
        torch.manual_seed(seed)
        network = build.own(name)
        about = preprocessing.describe(registry.spec(name), network)
        weights_file.write(tmp_path / "weights" / f"{name}.safetensors", network.state_dict(), about)
    return tmp_path / "weights"


def metadata(path: Path) -> dict[str, str]:
    """A safetensors file's metadata, read without the library under test."""
    with open(path, "rb") as file:
        return json.loads(file.read(int.from_bytes(file.read(8), "little")))["__metadata__"]


def made_digits(folder: Path, *, train: int, contrast: int) -> Path:
    """Write 28x28 images of ten classes, a square in one of ten places: `train` a class in train/, three in test/."""
    from PIL import Image

    generator = np.random.default_rng(0)
    for part, count in (("train", train), ("test", 3)):
        for label in range(10):
            (folder / part / str(label)).mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 60, (28, 28), np.uint8)
                top, left = 4 + 12 * (label // 5), 1 + 5 * (label % 5)
                pixels[top : top + 8, left : left + 5] += contrast
                Image.fromarray(pixels).save(folder / part / str(label) / f"{number}.png")
    return folder


@torch.no_grad()
def calibrated(network: nn.Module, x: Tensor) -> nn.Module:
    """The network, its normalisations random but for statistics of `x`: no signal dies on the way."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
        if isinstance(module, nn.BatchNorm2d) and module.affine:
            module.weight.uniform_(0.5, 1.5)
            module.bias.normal_(0, 0.2)
    network.train()(x)
    return network.eval()
