"""Other libraries as independent references, in float64 on one network, so that trajectories are equal.

They work on pixels 0..1; epsilon and step size are scaled. Where one is wrong, the test says so and pins
the paper's equation.
"""

import warnings

import pytest
import torch
from torch import Tensor, nn

from crossfool.attacks import compose, fusion
from crossfool.attacks.backward import plain
from crossfool.attacks.config import Attack
from crossfool.attacks.loop import Budget, attack
from crossfool.attacks.losses import cross_entropy
from crossfool.attacks.noise import uniform as uniform_noise
from crossfool.attacks.updates import momentum, sign

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torchattack = pytest.importorskip("torchattack", reason="pip install --no-deps -r tests/requirements-peers.txt")
    torchattacks = pytest.importorskip("torchattacks")
    foolbox = pytest.importorskip("foolbox")

pytestmark = pytest.mark.filterwarnings("ignore")
EPSILON, STEP, STEPS = 16, 3, 8


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(3)
    layers = [nn.Conv2d(3, 8, 3, stride=2), nn.Tanh(), nn.Conv2d(8, 8, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8 * 9, 7)]
    return nn.Sequential(*layers).double().eval().requires_grad_(False)


@pytest.fixture
def images() -> Tensor:
    return torch.randint(0, 256, (5, 3, 12, 12), generator=torch.Generator().manual_seed(1)).double()


LABELS = torch.tensor([0, 3, 6, 2, 2])


def ours(network: nn.Module, images: Tensor, update, steps: int = STEPS, step_size: float = STEP) -> Tensor:
    loss = cross_entropy.untargeted(
        fusion.source_log_probabilities([lambda x: DoubleLogits(network(x / 255))], "losses"), LABELS
    )
    return attack(loss, images, Budget(EPSILON, steps, step_size), estimate=plain, update=update)


def row(network: nn.Module, images: Tensor, **parts: object) -> Tensor:
    """As `ours`, of a row of params.yaml; all images have id 0, and so the same noise."""
    one = Attack(epsilon=EPSILON, steps=STEPS, step_size=STEP, **parts)
    loss = cross_entropy.untargeted(
        fusion.source_log_probabilities([lambda x: DoubleLogits(network(x / 255))], "losses"), LABELS
    )
    estimate, update = compose.build_estimator(one, [0] * len(images)), compose.build_update(one)
    return attack(loss, images, Budget(EPSILON, STEPS, STEP), estimate=estimate, update=update)


class DoubleLogits:
    """Logits that stay float64 where a source would make them float32."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits

    def float(self) -> Tensor:
        return self.logits


def pixels(images: Tensor) -> Tensor:
    whole = images * 255
    assert torch.allclose(whole, whole.round(), atol=1e-6)
    return whole.round()


def test_fgsm_is_torchattacks_and_torchattack(network, images):
    expected = ours(network, images, sign.sign, steps=1, step_size=EPSILON)
    theirs = torchattacks.FGSM(network, eps=EPSILON / 255)(images / 255, LABELS)
    assert torch.equal(pixels(theirs), expected)
    other = torchattack.FGSM(network, eps=EPSILON / 255, device=torch.device("cpu"))(images / 255, LABELS)
    assert torch.equal(pixels(other.detach()), expected)


def test_igsm_is_torchattacks_foolbox_and_torchattack(network, images):
    expected = ours(network, images, sign.sign)
    theirs = torchattacks.BIM(network, eps=EPSILON / 255, alpha=STEP / 255, steps=STEPS)(images / 255, LABELS)
    assert torch.equal(pixels(theirs), expected)
    model = foolbox.PyTorchModel(network, bounds=(0, 1), device="cpu")
    bim = foolbox.attacks.LinfBasicIterativeAttack(abs_stepsize=STEP / 255, steps=STEPS, random_start=False)
    assert torch.equal(pixels(bim.run(model, images / 255, LABELS, epsilon=EPSILON / 255)), expected)
    pgd = torchattack.PGD(
        network, eps=EPSILON / 255, alpha=STEP / 255, steps=STEPS, random_start=False, device=torch.device("cpu")
    )
    assert torch.equal(pixels(pgd(images / 255, LABELS).detach()), expected)


def test_migsm_is_torchattacks_and_torchattack(network, images):
    # they divide by the mean of absolute values, the paper by their sum: the same sign
    expected = ours(network, images, momentum.momentum(0.8))
    arguments = {"eps": EPSILON / 255, "alpha": STEP / 255, "steps": STEPS, "decay": 0.8}
    theirs = torchattacks.MIFGSM(network, **arguments)(images / 255, LABELS)
    assert torch.equal(pixels(theirs), expected)
    other = torchattack.MIFGSM(network, device=torch.device("cpu"), **arguments)(images / 255, LABELS)
    assert torch.equal(pixels(other.detach()), expected)
    assert not torch.equal(expected, ours(network, images, sign.sign))  # the momentum does something here


def test_foolbox_takes_signs_before_the_momentum(network, images):
    """foolbox's MI-FGSM accumulates signs, not raw gradients over their L1 norm: not the paper's equation 5."""
    model = foolbox.PyTorchModel(network, bounds=(0, 1), device="cpu")
    theirs = foolbox.attacks.LinfMomentumIterativeFastGradientMethod(
        momentum=0.8, abs_stepsize=STEP / 255, steps=STEPS, random_start=False
    ).run(model, images / 255, LABELS, epsilon=EPSILON / 255)

    def signs_first():
        state = []

        def direction(gradient: Tensor) -> Tensor:
            state.append(gradient.sign() + 0.8 * (state[-1] if state else 0))
            return state[-1]

        return direction

    assert torch.equal(pixels(theirs), ours(network, images, signs_first))
    assert not torch.equal(pixels(theirs), ours(network, images, momentum.momentum(0.8)))


ARGUMENTS = {"eps": EPSILON / 255, "alpha": STEP / 255, "steps": STEPS, "decay": 0.8}
MOMENTUM = {"update": "momentum", "decay": 0.8}


def test_nesterov_is_torchattacks(network, images):
    expected = row(network, images, update="nesterov", decay=0.8)
    assert torch.equal(pixels(torchattacks.NIFGSM(network, **ARGUMENTS)(images / 255, LABELS)), expected)
    assert not torch.equal(expected, row(network, images, **MOMENTUM))


def test_nesterov_of_scales_is_torchattacks(network, images):
    expected = row(network, images, update="nesterov", decay=0.8, scales=5)
    assert torch.equal(pixels(torchattacks.SINIFGSM(network, **ARGUMENTS, m=5)(images / 255, LABELS)), expected)
    assert not torch.equal(expected, row(network, images, update="nesterov", decay=0.8))


def test_kernel_is_torchattacks(network, images):
    expected = row(network, images, kernel=7, **MOMENTUM)
    theirs = torchattacks.TIFGSM(network, **ARGUMENTS, len_kernel=7, diversity_prob=0.0)
    theirs.stacked_kernel = torch.from_numpy(theirs.gkern(7, 3)).expand(3, 1, 7, 7)  # they keep it in float32
    assert torch.equal(pixels(theirs(images / 255, LABELS)), expected)
    assert not torch.equal(expected, row(network, images, **MOMENTUM))


def test_diversity_never_applied_is_torchattacks_momentum(network, images):
    theirs = torchattacks.DIFGSM(network, **ARGUMENTS, diversity_prob=0.0)(images / 255, LABELS)
    assert torch.equal(pixels(theirs), row(network, images, **MOMENTUM))


def test_nesterov_and_scales_of_torchattack_lose_their_momentum(network, images):
    """torchattack's NI and SI-NI multiply the new gradient by the decay and not what was accumulated."""
    for theirs in (
        torchattack.NIFGSM(network, device=torch.device("cpu"), **ARGUMENTS),
        torchattack.SINIFGSM(network, device=torch.device("cpu"), m=1, **ARGUMENTS),
    ):
        found = pixels(theirs(images / 255, LABELS).detach())
        assert not torch.equal(found, row(network, images, update="nesterov", decay=0.8))


@pytest.fixture
def shared_noise(monkeypatch, images):
    """The peers' uniform noise, called for in the order of steps and samples, is ours."""

    def share(radius: float, samples: int) -> None:
        steps = [uniform_noise.uniform(0, [0] * len(images), radius)(step, images) for step in range(STEPS)]
        drawn = iter([next(step) for step in steps for _ in range(samples)])
        ours = torch.Tensor.uniform_

        def uniform(own: Tensor, low: float, high: float, **more: object) -> Tensor:
            if more:  # ours, from a generator
                return ours(own, low, high, **more)
            assert high == pytest.approx(radius / 255) and low == -high
            return own.copy_(next(drawn) / 255)

        monkeypatch.setattr(torch.Tensor, "uniform_", uniform)

    return share


def test_varied_is_torchattacks_and_torchattack(network, images, shared_noise):
    expected = row(network, images, gradient="varied", samples=4, radius=1.5 * EPSILON, **MOMENTUM)
    shared_noise(1.5 * EPSILON, 4)
    theirs = torchattacks.VMIFGSM(network, **ARGUMENTS, N=4, beta=1.5)(images / 255, LABELS)
    assert torch.equal(pixels(theirs), expected)
    shared_noise(1.5 * EPSILON, 4)
    other = torchattack.VMIFGSM(network, device=torch.device("cpu"), n=4, beta=1.5, **ARGUMENTS)
    assert torch.equal(pixels(other(images / 255, LABELS).detach()), expected)
    assert not torch.equal(expected, row(network, images, **MOMENTUM))


def test_relevant_is_torchattack_whose_indicator_looks_at_signs(network, images, shared_noise, monkeypatch):
    """torchattack's GRA compares the accumulated values, which are never equal, where the paper has their signs."""
    expected = row(network, images, gradient="relevant", samples=4, radius=3.5 * EPSILON, **MOMENTUM)
    indicator = torchattack.GRA._get_decay_indicator

    def theirs() -> Tensor:
        shared_noise(3.5 * EPSILON, 4)
        gra = torchattack.GRA(network, device=torch.device("cpu"), num_neighbors=4, **ARGUMENTS)
        return gra(images / 255, LABELS).detach() * 255

    assert not torch.allclose(theirs(), expected, atol=1e-3)
    monkeypatch.setattr(
        torchattack.GRA,
        "_get_decay_indicator",
        lambda self, m, d, now, last: indicator(self, m, d, now.sign(), last.sign()),
    )
    assert torch.allclose(theirs(), expected, atol=1e-3)
