"""Measure what departures of attacks' code from their papers change: success of both, in percent, as a CSV.

Sixteen photographs of `imagenet-sample` that three EfficientNet-Lite models classify correctly, attacked from
efficientnet_lite0, evaluated on efficientnet_lite1 and efficientnet_lite2: 32 outcomes a row. With so few images a
difference below 20 points may be chance; the sign and the order of magnitude is what a row shows. Takes minutes on a
CPU: `python tools/conformance_effects.py > docs/conformance_effects.csv`.
"""

import csv
import random
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from crossfool.attacks import backward, fusion
from crossfool.attacks.chunk import Chunk
from crossfool.attacks.config import Attack
from crossfool.attacks.loop import Budget, attack
from crossfool.attacks.losses import cross_entropy
from crossfool.attacks.projection import quantise
from crossfool.attacks.types import Loss
from crossfool.attacks.updates import momentum
from crossfool.datasets.preparation import prepare
from crossfool.datasets.preparation.catalogue import make_dataset
from crossfool.models import build
from crossfool.models.inference import pixel_model
from crossfool.models.inference.config import Compute
from crossfool.models.weights import checkpoint_file, model_description, published, registry
from crossfool.models.weights.config import Weights
from crossfool.pipeline.crafting.craft import craft
from crossfool.storage.tensors import TensorFile

SOURCE, TARGETS = "efficientnet_lite0", ("efficientnet_lite1", "efficientnet_lite2")
IMAGES, EPSILON, STEPS = 16, 8, 4
COLUMNS = ("finding", "library", "as_coded", "as_published", "outcomes")
MOMENTUM: dict[str, Any] = {"update": "momentum", "decay": 1.0}
CPU = torch.device("cpu")


def load_model(name: str) -> pixel_model.PixelModel:
    """A model with its published weights, on pixels 0..255."""
    spec = registry.spec(name)
    network: Any = build.build(name, spec.library)
    network.load_state_dict(network.adapted(checkpoint_file.read(published.find_weights(spec, Weights()))))
    described = model_description.describe(spec, network)
    return pixel_model.wrap(network, described, device=CPU, compute=Compute(chunk=IMAGES))


class Unit(nn.Module):
    """A model on pixels 0..1, as libraries expect it."""

    def __init__(self, model: pixel_model.PixelModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(255 * x)
        return logits


class Setting:
    """The images, their labels and the models; `rate` of a row's images is their success in percent."""

    def __init__(self) -> None:
        self.models = {name: load_model(name) for name in (SOURCE, *TARGETS)}
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / name for name in ("images.safetensors", "images.csv", "train.safetensors")]
            prepare.prepare(make_dataset("imagenet-sample"), *paths, training=False)
            file = TensorFile(paths[0])
            images, labels = (torch.from_numpy(np.array(file[name])) for name in ("images", "labels"))
        right = torch.stack([model(images.float()).argmax(1) == labels for model in self.models.values()]).all(0)
        self.x, self.labels = images[right][:IMAGES], labels[right][:IMAGES]
        self.network = Unit(self.models[SOURCE])

    def rate(self, images: Tensor) -> float:
        """Mean success rate over the targets, of images (N,C,H,W) uint8."""
        with torch.no_grad():
            wrong = [self.models[name](images.float()).argmax(1) != self.labels for name in TARGETS]
        return 100 * float(torch.stack(wrong).float().mean())

    def loop(self, steps: int = STEPS, step_size: float = EPSILON / STEPS, **parts: Any) -> Tensor:
        """Images of a row of this package's loop."""
        row = Attack(epsilon=EPSILON, steps=steps, step_size=step_size, **parts)
        chunk = Chunk(self.x, self.labels, self.labels, range(len(self.x)))
        return craft([self.models[SOURCE]], row, chunk)[0]["images"]

    def library(self, make: Callable[..., Any], **options: Any) -> Tensor:
        """Images of a library's attack, stored as this package stores them."""
        torch.manual_seed(0), random.seed(0), np.random.seed(0)
        made = make(self.network, eps=EPSILON / 255, alpha=EPSILON / STEPS / 255, steps=STEPS, **options)
        found = made(self.x.float() / 255, self.labels).detach()
        return quantise(255 * found, self.x.float(), EPSILON)

    def own(
        self, estimate: Callable[[Loss, Tensor], Tensor], step_size: float = EPSILON / STEPS, steps: int = STEPS
    ) -> Tensor:
        """Iterates of momentum with an estimator, as floats."""
        log_probabilities = fusion.source_log_probabilities([self.models[SOURCE]], "losses")
        loss = cross_entropy.untargeted(log_probabilities, self.labels)
        budget = Budget(EPSILON, steps, step_size)
        return attack(loss, self.x.float(), budget, estimate=estimate, update=momentum.momentum(1.0))


def penalised(sign: float, radius: float = 0.01 * 255, weight: float = 0.8) -> Callable[[Loss, Tensor], Tensor]:
    """GNP's gradient (1 + beta) g(x) + sign beta g(x + r g / mean|g|); the paper has sign -1."""

    def estimate(loss: Loss, x: Tensor) -> Tensor:
        first = backward.plain(loss, x)
        second = backward.plain(loss, x + radius * first / first.abs().mean((1, 2, 3), keepdim=True))
        return (1 + weight) * first + sign * weight * second

    return estimate


def rows(setting: Setting) -> Iterator[tuple[str, str, Tensor, Tensor]]:
    """(Finding, library, images as coded, images as published) of each departure that this package can set right."""
    with warnings.catch_warnings(action="ignore"):
        import torchattack
        import torchattacks
    decay = {"decay": 1.0}
    on_cpu = {"device": CPU, **decay}
    ni = setting.loop(update="nesterov", decay=1.0)
    yield "NI: no momentum", "torchattack", setting.library(torchattack.NIFGSM, **on_cpu), ni
    si_ni = setting.loop(update="nesterov", decay=1.0, scales=2)
    yield "SI-NI: no momentum", "torchattack", setting.library(torchattack.SINIFGSM, m=2, **on_cpu), si_ni
    ti = setting.loop(kernel=15, **MOMENTUM)
    yield "TI: no momentum, wider kernel", "torchattack", setting.library(torchattack.TIFGSM, **on_cpu), ti
    yield "TI: diversity by default", "torchattacks", setting.library(torchattacks.TIFGSM, **decay), ti
    mig = {"s_factor": 3, **on_cpu}
    right = setting.library(torchattack.MIG, targeted=True, **mig)  # of the true label: the sign turned round
    yield "MIG: sign", "torchattack", setting.library(torchattack.MIG, **mig), right
    gra = setting.library(torchattack.GRA, num_neighbors=2, **on_cpu)

    class BySigns(torchattack.GRA):
        """GRA whose indicator compares signs."""

        def _get_decay_indicator(self, m: Tensor, delta: Tensor, cur_noise: Tensor, prev_noise: Tensor) -> Tensor:
            return super()._get_decay_indicator(m, delta, cur_noise.sign(), prev_noise.sign())

    yield "GRA: indicator", "torchattack", gra, setting.library(BySigns, num_neighbors=2, **on_cpu)
    as_coded, as_published = (
        quantise(setting.own(penalised(sign)), setting.x.float(), EPSILON) for sign in (1.0, -1.0)
    )
    yield "GNP: sign of the penalty", "TransferAttack", as_coded, as_published
    floats = setting.own(backward.plain, step_size=1.6, steps=5)
    rounded = quantise(floats, setting.x.float(), EPSILON)
    yield "stored images truncated (MI)", "TransferAttack", floats.clamp(0, 255).to(torch.uint8), rounded


def main() -> None:
    """Print the CSV."""
    setting = Setting()
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)
    for finding, library, as_coded, as_published in rows(setting):
        rates = [f"{setting.rate(images):.1f}" for images in (as_coded, as_published)]
        writer.writerow([finding, library, *rates, len(setting.x) * len(TARGETS)])
        sys.stdout.flush()


if __name__ == "__main__":
    main()
