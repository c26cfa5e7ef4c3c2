"""Print what every experiment costs, as a Markdown table, from its params.yaml alone: nothing is measured.

Gradient evaluations are exact: one is one image's gradient through one model, so an ensemble of three counts three.
GPU hours are an estimate. A model's forward pass is torchvision's count of multiply-adds, two operations each; a
gradient is a forward pass and one backward to the input (parameters are frozen), twice a forward pass. Added are the
forward passes of `predict`, `evaluate`, `transform` and `boundary`. All is divided by RATE. Our own networks are small
and count as nothing: "minutes".

Disk is the images as they are stored, the subset, the adversarial images (one byte a channel) and weights in float32.
The data set is named by itself, since experiments share it through DVC's cache where the file system can link.
"""

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torchvision.models import get_model_weights

from transferbench import networks, params

ROOT = Path(__file__).parents[1]
RATE = 8e12  # float32 operations a second, sustained: an assumption, some 40% of an A100's peak of 19.5e12
STORED = {"mnist": 28 * 28, "cifar10": 3 * 32 * 32, "imagenet": 3 * 224 * 224}  # bytes an image
IMAGES = {"mnist": 10_000, "cifar10": 10_000, "imagenet": 50_000, "imagenet-sample": 20}
TRAINING = {"mnist": 60_000, "cifar10": 50_000}  # stored where a model is trained
ALL = 16  # of the 20 photographs, those that the default benchmark's models classify correctly
with torch.device("meta"):  # shapes without numbers
    OWN = {name: sum(p.numel() for p in networks.own(name).parameters()) for name in networks.NETWORKS}
with open(ROOT / "transferbench/data/torchvision_models.csv", encoding="utf-8", newline="") as table:
    PARAMETERS = OWN | {row["name"]: int(row["parameters"]) for row in csv.DictReader(table)}


@dataclass(frozen=True)
class Cost:
    """Of an experiment; `operations` is 0 where all its networks are our own."""

    cells: int
    gradients: int
    operations: float
    own: int
    shared: int

    def row(self, name: str) -> str:
        hours = f"{self.operations / RATE / 3600:,.1f}" if self.operations else "minutes"
        disk = f"{size(self.own)} + {size(self.shared)}"
        return f"| {name} | {self.cells} | {thousands(self.gradients)} | {hours} | {disk} |"


def forward(model: str) -> float:
    """Operations of one image's forward pass; 0 for a network of our own."""
    return 0.0 if model in OWN else 2e9 * get_model_weights(model)["IMAGENET1K_V1"].meta["_ops"]


def cost(experiment: params.Experiment) -> Cost:
    """What the experiment costs, had nothing been computed before."""
    data, subset = experiment.dataset, experiment.subset
    images = ALL if subset.images == "all" else subset.images
    cells = len(experiment.sources) * len(experiment.rows)
    each = sum(row.gradients for row in experiment.rows.values())
    gradients: dict[str, int] = dict.fromkeys(experiment.models, 0)
    passes: dict[str, int] = dict.fromkeys(experiment.models, IMAGES[data.name])
    for source in experiment.sources:
        for member in source.split("+"):
            gradients[member] += images * each
    for similar in experiment.similarity.values():
        gradients[similar.source] += similar.images * (max(similar.samples) + 1)
        gradients[similar.target] += similar.images
    for saliency in experiment.saliency.values():
        gradients[saliency.model] += len(saliency.images) * (max(saliency.samples) + 1)
    for plane in experiment.boundary.values():
        gradients[plane.source] += plane.samples + 1
        for target in plane.targets:
            passes[target] += plane.points**2
    levels = sum(map(len, experiment.transforms.values())) * len(experiment.sources) * len(experiment.attacks)
    for model in experiment.answering:
        passes[model] += images * (cells + levels)
    operations = math.fsum(forward(model) * (2 * gradients[model] + passes[model]) for model in experiment.models)
    weights = 4 * sum(PARAMETERS[model] for model in experiment.models)
    stored = IMAGES[data.name] + (TRAINING[data.family] if experiment.training else 0)
    own = weights + images * (cells + 1) * STORED[data.family]
    return Cost(cells, sum(gradients.values()), operations, own, stored * STORED[data.family])


def thousands(count: int) -> str:
    return f"{count / 1e6:,.1f} million" if count >= 1e6 else f"{round(count, -3):,}"


def size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


if __name__ == "__main__":
    print("| experiment | cells | gradient evaluations | GPU hours, estimated | disk: own + data set |")
    print("|---|---:|---:|---:|---:|")
    print(cost(params.load(ROOT / "params.yaml")).row("`.`"))
    for path in sorted(ROOT.glob("experiments/*/params.yaml")):
        print(cost(params.load(path)).row(f"`{path.parent.name}`"))
