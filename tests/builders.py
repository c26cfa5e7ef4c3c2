"""Values that tests of several rooms share: the repository's root, empty sections of params.yaml, a file's metadata."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import settings
from torch import Tensor, nn

from crossfool.experiment import loading, plan_files
from crossfool.storage.tensors import write_tensors

ROOT = Path(__file__).parents[1]  # of the repository
SEEDED = settings(derandomize=True, deadline=None, database=None)  # of hypothesis

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
# The sections of an experiment on digits that is as small as one may be; tests change what they look at.
DIGITS = {
    "root": ".",
    "dataset": {"name": "mnist"},
    "models": ["fnn0", "fnn2"],
    "weights": {},
    "training": {"epochs": 1, "batch_size": 8, "learning_rate": 0.1},
    "sources": ["fnn0"],
    "transforms": {},
    **EMPTY,
}


def a_few(values: Iterable[str], *kept: str) -> list[Any]:
    """A test's parameters, of which `make test` runs those in `kept`, and `make test-all` all (marker `exhaustive`)."""
    names = list(values)
    assert set(names) > set(kept) > set(), f"{set(kept) - set(names)} are no values"
    return [pytest.param(name, marks=() if name in kept else pytest.mark.exhaustive) for name in names]


def write_plans(folder: Path) -> None:
    """Write the plan files of the experiment in a folder, as the stage `plan` does."""
    plan_files.write_plans(loading.load_experiment(folder / "params.yaml"), folder / plan_files.FOLDER)


def make_subset(folder: Path) -> Path:
    """Write a subset of eleven made images of 1x28x28, with ids that are not their places."""
    generator = np.random.default_rng(0)
    labels = np.arange(11) % 10
    path = folder / "subset" / "images.safetensors"
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


def metadata(path: Path) -> dict[str, str]:
    """A safetensors file's metadata, read without the library under test."""
    with open(path, "rb") as file:
        return json.loads(file.read(int.from_bytes(file.read(8), "little")))["__metadata__"]


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
