"""Other libraries as independent references, in float64 on one network, so that trajectories are equal.

They work on pixels 0..1; epsilon and step size are scaled. Where one is wrong, the test says so and pins
the paper's equation.
"""

import warnings

import pytest
import torch
from torch import Tensor, nn

from transferbench import gradients, objectives, updates
from transferbench.attack import Budget, attack

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
    loss = objectives.untargeted(objectives.source([lambda x: DoubleLogits(network(x / 255))], "losses"), LABELS)
    return attack(loss, images, Budget(EPSILON, steps, step_size), estimate=gradients.plain, update=update)


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
    expected = ours(network, images, updates.sign, steps=1, step_size=EPSILON)
    theirs = torchattacks.FGSM(network, eps=EPSILON / 255)(images / 255, LABELS)
    assert torch.equal(pixels(theirs), expected)
    other = torchattack.FGSM(network, eps=EPSILON / 255, device=torch.device("cpu"))(images / 255, LABELS)
    assert torch.equal(pixels(other.detach()), expected)


def test_igsm_is_torchattacks_foolbox_and_torchattack(network, images):
    expected = ours(network, images, updates.sign)
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
    expected = ours(network, images, updates.momentum(0.8))
    arguments = {"eps": EPSILON / 255, "alpha": STEP / 255, "steps": STEPS, "decay": 0.8}
    theirs = torchattacks.MIFGSM(network, **arguments)(images / 255, LABELS)
    assert torch.equal(pixels(theirs), expected)
    other = torchattack.MIFGSM(network, device=torch.device("cpu"), **arguments)(images / 255, LABELS)
    assert torch.equal(pixels(other.detach()), expected)
    assert not torch.equal(expected, ours(network, images, updates.sign))  # the momentum does something here


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
    assert not torch.equal(pixels(theirs), ours(network, images, updates.momentum(0.8)))
