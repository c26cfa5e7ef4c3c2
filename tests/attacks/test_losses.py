"""Losses that are driven up: sign, reduction and gradients by hand, and a whole trajectory."""

import pytest
import torch
from torch import Tensor, nn

from crossfool.attacks import compose, fusion
from crossfool.attacks.backward import plain
from crossfool.attacks.chunk import Chunk
from crossfool.attacks.config import Attack
from crossfool.attacks.loop import Budget, attack
from crossfool.attacks.losses import logit, margin
from crossfool.experiment import formulas
from crossfool.pipeline.crafting.craft import craft

# three classes of two values: z = W x; at x = (1, 2) the logits are 5, 2 and 3
WEIGHTS = torch.tensor([[1.0, 2.0], [2.0, 0.0], [3.0, 0.0]])
POINT = torch.tensor([1.0, 2.0]).view(1, 1, 1, 2)
EPSILON, STEP, STEPS = 16, 3, 4


def network(seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8 * 36, 7))
    return layers.requires_grad_(False)


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
    model = network(3).double()
    images = torch.randint(0, 256, (4, 3, 8, 8), generator=torch.Generator().manual_seed(1)).double()
    labels = torch.tensor([0, 3, 6, 2])
    x = images
    for _ in range(STEPS):
        y = x.clone().requires_grad_()
        logits = model(y / 255)
        for n, label in enumerate(labels.tolist()):
            best = max((k for k in range(7) if k != label), key=lambda k: logits[n, k].item())
            ahead = logits[n, label] - logits[n, best]
            (ahead if targeted else -ahead).backward(retain_graph=True)
        x = x + STEP * y.grad.sign()
        x = torch.maximum(torch.minimum(x, (images + EPSILON).clamp(max=255)), (images - EPSILON).clamp(min=0))
    objective = "targeted" if targeted else "untargeted"
    row = Attack(epsilon=EPSILON, steps=STEPS, step_size=STEP, loss="margin", objective=objective)
    loss = compose.build_source_loss(row, lambda x: model(x / 255).log_softmax(1), labels, labels)
    update = compose.build_update(row)
    found = attack(loss, images, Budget(EPSILON, STEPS, STEP), estimate=plain, update=update)
    assert torch.equal(found, x)
    assert row.gradient_evaluations == STEPS


@pytest.mark.parametrize(("targeted", "sign"), [(True, 1), (False, -1)])
def test_logit_by_hand(targeted, sign):
    images = torch.cat([POINT, 2 * POINT])
    loss = logit.Part().loss(lambda x: x.flatten(1) @ WEIGHTS.T, torch.tensor([0, 2]), targeted)
    assert loss(torch.cat([images, images])).tolist() == [sign * value for value in (5, 6, 5, 6)]
    assert plain(loss, images).flatten(1).tolist() == [[sign * value for value in row] for row in ([1, 2], [3, 0])]


@pytest.mark.parametrize("targeted", [True, False])
@pytest.mark.parametrize("fused", ["logits", "losses"])
def test_logit_attack_of_an_ensemble_is_a_loop_written_apart(targeted, fused):
    """As a cell is crafted; the ensemble's logit is the mean of its members', not a log-probability."""
    pair = [network(3), network(4)]
    images = torch.randint(0, 256, (4, 3, 8, 8), generator=torch.Generator().manual_seed(1))
    labels, targets = torch.tensor([0, 3, 6, 2]), torch.tensor([1, 2, 0, 5])
    aimed, sign = (targets, 1) if targeted else (labels, -1)
    x = images.float()
    for _ in range(STEPS):
        y = x.clone().requires_grad_()
        logits = sum(member(y / 255) for member in pair) / 2
        (sign * logits[torch.arange(4), aimed]).sum().backward()
        x = x + STEP * y.grad.sign()
        x = torch.maximum(torch.minimum(x, (images + EPSILON).clamp(max=255)), (images - EPSILON).clamp(min=0))
    objective = "targeted" if targeted else "untargeted"
    keys = {"epsilon": EPSILON, "steps": STEPS, "step_size": STEP, "objective": objective, "fusion": fused}
    chunk, counted = Chunk(images.to(torch.uint8), labels, targets, [4, 1, 9, 7]), []
    members = [lambda x, member=member: member(x / 255) for member in pair]
    found, finite = craft(members, Attack(**keys, loss="logit"), chunk, counted.append)
    assert torch.equal(found["images"], x.to(torch.uint8)) and finite.all()
    assert sum(counted) == 4 * STEPS
    plain_loss, _ = craft(members, Attack(**keys), chunk)
    assert not torch.equal(found["images"], plain_loss["images"])


def test_logit_of_mean_probabilities_is_an_error():
    with pytest.raises(ValueError, match="loss: logit takes logits, of an ensemble their mean; set fusion: logits"):
        Attack(epsilon=EPSILON, steps=STEPS, step_size=STEP, loss="logit")


@pytest.mark.parametrize(
    ("members", "text"),
    [
        (1, "J(x) = f(x)[target label]; f the source's logits"),
        (2, "J(x) = f(x)[target label]; f = mean of the members'"),
    ],
)
def test_logit_is_explained(members, text):
    row = Attack(epsilon=EPSILON, steps=2, step_size=STEP, loss="logit", fusion="logits", objective="targeted")
    assert dict(formulas.update_facts(row, members))["loss"].startswith(text)


def test_a_loss_without_keys_takes_none():
    with pytest.raises(ValueError, match="unknown loss 'margins'; did you mean margin"):
        Attack(epsilon=EPSILON, steps=STEPS, step_size=STEP, loss="margins")
