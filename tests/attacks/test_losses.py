"""Losses that are driven up: sign, reduction and gradients by hand, and a whole trajectory."""

import pytest
import torch
from torch import Tensor, nn

from crossfool.attacks import compose, fusion
from crossfool.attacks.backward import plain
from crossfool.attacks.config import Attack
from crossfool.attacks.loop import Budget, attack
from crossfool.attacks.losses import margin

# three classes of two values: z = W x; at x = (1, 2) the logits are 5, 2 and 3
WEIGHTS = torch.tensor([[1.0, 2.0], [2.0, 0.0], [3.0, 0.0]])
POINT = torch.tensor([1.0, 2.0]).view(1, 1, 1, 2)
EPSILON, STEP, STEPS = 16, 3, 4


def linear(x: Tensor) -> Tensor:
    return (x.flatten(1) @ WEIGHTS.T).log_softmax(1)


@pytest.mark.parametrize(
    ("label", "targeted", "value", "gradient"),
    [
        (0, False, 3 - 5, [3 - 1, 0 - 2]),  # the label is first: away from it, towards the second
        (1, False, 5 - 2, [1 - 2, 2 - 0]),  # it is not: further away
        (0, True, 5 - 3, [1 - 3, 2 - 0]),
        (1, True, 2 - 5, [2 - 1, 0 - 2]),
    ],
)
def test_margin_by_hand(label, targeted, value, gradient):
    loss = margin.Part().loss(linear, torch.tensor([label]), targeted)
    assert loss(POINT).tolist() == pytest.approx([value], abs=1e-5)
    assert plain(loss, POINT).flatten().tolist() == pytest.approx(gradient, abs=1e-5)


def test_margin_is_an_images_own_of_each_copy():
    images = torch.cat([POINT, 2 * POINT])
    loss = margin.Part().loss(linear, torch.tensor([0, 1]), False)
    assert loss(torch.cat([images, images])).tolist() == pytest.approx([-2, 6, -2, 6], abs=1e-5)


@pytest.mark.parametrize("fused", ["logits", "losses"])
def test_margin_of_an_ensemble_is_that_of_its_mean_logits(fused):
    def other(x: Tensor) -> Tensor:
        return x.flatten(1) @ WEIGHTS.flip(0).T  # 3, 2 and 5; the mean logits are 4, 2 and 4

    source = fusion.source_log_probabilities([lambda x: x.flatten(1) @ WEIGHTS.T, other], fused)
    assert margin.ahead(source, torch.tensor([1]))(POINT).tolist() == pytest.approx([2 - 4], abs=1e-5)


@pytest.mark.parametrize("targeted", [False, True])
def test_margin_attack_is_a_loop_written_apart(targeted):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8 * 36, 7)).double()
    network.requires_grad_(False)
    images = torch.randint(0, 256, (4, 3, 8, 8), generator=torch.Generator().manual_seed(1)).double()
    labels = torch.tensor([0, 3, 6, 2])
    x = images
    for _ in range(STEPS):
        y = x.clone().requires_grad_()
        logits = network(y / 255)
        for n, label in enumerate(labels.tolist()):
            best = max((k for k in range(7) if k != label), key=lambda k: logits[n, k].item())
            ahead = logits[n, label] - logits[n, best]
            (ahead if targeted else -ahead).backward(retain_graph=True)
        x = x + STEP * y.grad.sign()
        x = torch.maximum(torch.minimum(x, (images + EPSILON).clamp(max=255)), (images - EPSILON).clamp(min=0))
    objective = "targeted" if targeted else "untargeted"
    row = Attack(epsilon=EPSILON, steps=STEPS, step_size=STEP, loss="margin", objective=objective)
    loss = compose.build_source_loss(row, lambda x: network(x / 255).log_softmax(1), labels)
    update = compose.build_update(row)
    found = attack(loss, images, Budget(EPSILON, STEPS, STEP), estimate=plain, update=update)
    assert torch.equal(found, x)
    assert row.gradient_evaluations == STEPS


def test_a_loss_without_keys_takes_none():
    with pytest.raises(ValueError, match="unknown loss 'margins'; did you mean margin"):
        Attack(epsilon=EPSILON, steps=STEPS, step_size=STEP, loss="margins")
