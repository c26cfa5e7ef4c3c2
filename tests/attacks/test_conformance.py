"""docs/conformance.md: what its verdicts on torchattack and torchattacks rest on, and that each rests on something."""

import csv
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import ROOT
from torch import Tensor, nn

from crossfool.attacks import compose, fusion
from crossfool.attacks.config import Attack
from crossfool.attacks.loop import Budget, attack
from crossfool.attacks.losses import cross_entropy
from crossfool.attacks.torchattack import catalogue

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torchattack = pytest.importorskip("torchattack", reason="pip install --no-deps -r tests/requirements-peers.txt")
    torchattacks = pytest.importorskip("torchattacks")

pytestmark = pytest.mark.filterwarnings("ignore")
EPSILON, STEP, STEPS, MU = 16, 3, 8, 0.8
ARGUMENTS = {"eps": EPSILON / 255, "alpha": STEP / 255, "steps": STEPS}
LABELS = torch.tensor([0, 3, 6, 2, 2])
CPU = torch.device("cpu")
NEXT_TO_NOTHING = 1e-9  # a radius within which a gradient does not change


class Contrast(nn.Module):
    """Pixels 0..1 to values between which the network's gradient turns."""

    def forward(self, x: Tensor) -> Tensor:
        return 16 * x - 8


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(3)
    layers = [nn.Conv2d(3, 8, 3, stride=2), nn.Tanh(), nn.Conv2d(8, 8, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8 * 9, 7)]
    return nn.Sequential(Contrast(), *layers).double().eval().requires_grad_(False)


@pytest.fixture
def images() -> Tensor:
    return torch.randint(0, 256, (5, 3, 12, 12), generator=torch.Generator().manual_seed(1)).double()


class DoubleLogits:
    """Logits that stay float64 where a source would make them float32."""

    def __init__(self, logits: Tensor) -> None:
        self.float = lambda: logits


def loop(network: nn.Module, images: Tensor, **keys: object) -> Tensor:
    """The images of a row of this package's loop."""
    row = Attack(**{"epsilon": EPSILON, "steps": STEPS, "step_size": STEP, **keys})
    source = fusion.source_log_probabilities([lambda x: DoubleLogits(network(x / 255))], "losses")
    return attack(
        cross_entropy.untargeted(source, LABELS),
        images,
        Budget(row.epsilon, row.steps, row.step_size),
        estimate=compose.build_estimator(row, [0] * len(images)),
        update=compose.build_update(row, images[0].numel()),
        norm=compose.build_norm(row),
    )


def gradient(network: nn.Module, x: Tensor) -> Tensor:
    """Written apart from the libraries'."""
    x = x.clone().requires_grad_()
    nn.functional.cross_entropy(network(x / 255), LABELS, reduction="sum").backward()
    assert x.grad is not None
    return x.grad


def clipped(x: Tensor, clean: Tensor) -> Tensor:
    return torch.maximum(torch.minimum(x, (clean + EPSILON).clamp(max=255)), (clean - EPSILON).clamp(min=0))


def over_mean(gradient: Tensor) -> Tensor:
    return gradient / gradient.abs().mean((1, 2, 3), keepdim=True)


def near(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a.detach(), b, rtol=0, atol=1e-4)


def test_torchattacks_pgd_in_l2_without_a_random_start_is_the_loop(network, images):
    """torchattack's; torchattacks' is in test_l2.py."""
    arguments = {"eps": 90 / 255, "alpha": 40 / 255, "steps": STEPS, "random_start": False}
    theirs = torchattack.PGDL2(network, device=CPU, **arguments)(images / 255, LABELS) * 255
    assert near(theirs, loop(network, images, norm="l2", epsilon=90, step_size=40))


def test_torchattacks_diversity_never_applied_is_momentum(network, images):
    theirs = torchattack.DIFGSM(network, device=CPU, **ARGUMENTS, decay=MU, diversity_prob=0.0)(images / 255, LABELS)
    assert near(theirs * 255, loop(network, images, update="momentum", decay=MU))


def test_torchattacks_gradients_of_earlier_scales_count_again(network, images):
    """SI-NI with two copies counts the whole image's gradient twice, and keeps no momentum."""
    x, ahead = images, torch.zeros_like(images)
    mean = 1 / len(images)  # their loss is the mean over the batch
    for _ in range(STEPS):
        looked = x + STEP * MU * ahead
        whole, half = mean * gradient(network, looked), mean * gradient(network, looked / 2) / 2
        found = (2 * whole + half) / 2
        ahead = MU * 255 * found + over_mean(found)  # their gradients are by pixels 0..1
        x = clipped(x + STEP * ahead.sign(), images)
    theirs = torchattack.SINIFGSM(network, device=CPU, m=2, decay=MU, **ARGUMENTS)(images / 255, LABELS)
    assert near(theirs * 255, x)
    assert not near(theirs * 255, loop(network, images, update="nesterov", decay=MU, scales=2))


def deviation(kernel: np.ndarray) -> float:
    """σ of a kernel along one axis, in pixels."""
    side = len(kernel)
    distances = np.arange(side) - side // 2
    return float(np.sqrt((kernel.sum(0) * distances**2).sum() / kernel.sum()))


def test_torchattacks_kernel_is_wider():
    theirs = deviation(torchattack.TIFGSM.gkern(15, 3))
    others = deviation(torchattacks.TIFGSM(nn.Linear(1, 1)).gkern(15, 3))
    assert 2.2 < others < 14 / 6 < theirs < 2**0.5 * 14 / 6  # cut off at three deviations


def test_torchattacks_ti_applies_diversity_by_default():
    """torchattacks': TI-FGSM by its name is TI-DI-FGSM, unless `diversity_prob` is 0."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 7))
    network = network.eval().requires_grad_(False)
    x = torch.rand(5, 3, 32, 32)
    seen: list[tuple[bool, float]] = []
    for options in ({}, {"diversity_prob": 0.0}):
        torch.manual_seed(0)
        made = torchattacks.TIFGSM(network, len_kernel=3, **ARGUMENTS, **options)
        diverse = [not torch.equal(made.input_diversity(x), x) for _ in range(200)]
        seen.append((made.decay == 0, float(np.mean(diverse))))
    assert seen[0] == (True, pytest.approx(0.5, abs=0.1)) and seen[1] == (True, 0)


def test_where_vnis_neighbours_lie(network, images):
    """With neighbours at no distance, the variance is 0 where they lie at the look-ahead point, as in our loop."""
    x, momentum, variance = images, torch.zeros_like(images), torch.zeros_like(images)
    for _ in range(STEPS):
        found = gradient(network, x + STEP * MU * momentum)
        momentum = MU * momentum + over_mean(found + variance)
        variance = gradient(network, x) - found  # of neighbours at the iterate
        x = clipped(x + STEP * momentum.sign(), images)
    options = {**ARGUMENTS, "decay": MU, "beta": NEXT_TO_NOTHING}
    theirs = torchattack.VNIFGSM(network, device=CPU, n=1, **options)(images / 255, LABELS) * 255
    others = torchattacks.VNIFGSM(network, N=1, **options)(images / 255, LABELS) * 255
    own = loop(network, images, update="nesterov", decay=MU, gradient="varied", samples=1, radius=1.0)
    ahead = loop(network, images, update="nesterov", decay=MU)
    assert near(theirs, x) and near(others, x) and not near(ahead, x)
    assert (own - ahead).abs().mean() < (own - x).abs().mean()  # a radius of 1, the least of a row, changes little


def test_torchattacks_gra_shrinks_every_step(network, images):
    """With neighbours at no distance the gradient is the plain one: momentum by steps of 3, 3 · 0.94, 3 · 0.94² ..."""
    x, momentum = images, torch.zeros_like(images)
    for step in range(STEPS):
        momentum = MU * momentum + over_mean(gradient(network, x))
        x = clipped(x + STEP * 0.94**step * momentum.sign(), images)
    options = {**ARGUMENTS, "decay": MU, "num_neighbors": 1, "beta": NEXT_TO_NOTHING}
    assert near(torchattack.GRA(network, device=CPU, **options)(images / 255, LABELS) * 255, x)


def test_torchattacks_gra_raises_the_targets_loss_with_near_neighbours(network, images):
    options = {**ARGUMENTS, "decay": MU, "num_neighbors": 1, "beta": NEXT_TO_NOTHING, "targeted": True}
    made = torchattack.GRA(network, device=CPU, **options)(images / 255, LABELS)
    before, after = (nn.functional.cross_entropy(network(x), LABELS, reduction="none") for x in (images / 255, made))
    assert (after > before).all()


def test_torchattacks_admix_mixes_an_image_with_itself(network):
    made = torchattack.Admix(network, device=CPU, portion=0.2, size=2, num_classes=7)
    x = torch.rand(1, 3, 12, 12)
    assert torch.allclose(made.admix(x), torch.cat([1.2 * x] * 2))


# --- the page ---------------------------------------------------------------------------------------

with (ROOT / "docs/conformance.csv").open(encoding="utf-8", newline="") as file:
    FINDINGS = list(csv.DictReader(file))


def test_the_page_is_what_the_tables_say(tmp_path: Path) -> None:
    """Run `python tools/conformance_page.py` where this fails."""
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    (tmp_path / "docs").mkdir()
    for name in ("conformance.csv", "conformance_effects.csv"):
        shutil.copy(ROOT / "docs" / name, tmp_path / "docs")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "tools/conformance_page.py"], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "docs/conformance.md").read_text() == (ROOT / "docs/conformance.md").read_text()


def test_each_verdict_rests_on_a_test_or_on_lines() -> None:
    for row in FINDINGS:
        assert row["verdict"] in ("conforms", "choice", "departs") and (row["what"] or row["verdict"] == "conforms"), (
            row
        )
        assert row["evidence"], row
        for one in row["evidence"].split():
            path, _, test = one.partition("::")
            if row["library"] == "TransferAttack":
                assert re.fullmatch(r"(main|transferattack/[\w/]+)\.py:\d+", one), row
            else:
                assert re.search(rf"^def {test}\(", (ROOT / path).read_text(encoding="utf-8"), re.M), row
    assert len({(row["attack"], row["library"]) for row in FINDINGS}) == len(FINDINGS)


def test_the_catalogue_says_the_departures_of_the_page() -> None:
    """Wherever an attack of torchattack is shown, † marks the departures that the catalogue knows."""
    names = {"NI-FGSM": "NIFGSM", "SI-NI-FGSM": "SINIFGSM", "TI-FGSM": "TIFGSM"}
    departing = {
        names.get(row["attack"], row["attack"])
        for row in FINDINGS
        if row["library"] == "torchattack" and row["verdict"] == "departs"
    }
    known = {name for name, one in catalogue.METHODS.items() if one.departs or one.departs_targeted}
    assert known <= departing and departing - known == {"Admix"}
