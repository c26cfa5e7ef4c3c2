"""Po+Trip: values and signs by hand, and a whole trajectory against a loop by the authors' formulas."""

import math

import pytest
import torch
from torch import Tensor, nn

from crossfool.attacks.backward import plain
from crossfool.attacks.chunk import Chunk
from crossfool.attacks.config import Attack
from crossfool.attacks.losses import po_trip
from crossfool.experiment import formulas
from crossfool.pipeline.crafting.craft import craft

# three classes of two values: z = W x; at x = (1, 2) the logits are 5, -2 and 3
WEIGHTS = torch.tensor([[1.0, 2.0], [-2.0, 0.0], [3.0, 0.0]]).double()
POINT = torch.tensor([1.0, 2.0]).double().view(1, 1, 1, 2)
ROW = {"epsilon": 16, "steps": 4, "step_size": 3, "objective": "targeted", "loss": "po_trip", "fusion": "logits"}
LABELS, TARGETS = torch.tensor([0, 3, 6, 2]), torch.tensor([1, 2, 0, 5])


def linear(x: Tensor) -> Tensor:
    return x.flatten(1) @ WEIGHTS.T


def by_hand(z: list[float], true: int, target: int, weight: float = 0.01, margin: float = 0.007) -> float:
    total, length = sum(map(abs, z)), math.sqrt(sum(value**2 for value in z))
    u = [value / total for value in z]
    v = [0.99999 * (k == target) for k in range(len(z))]
    apart = sum((a - b) ** 2 for a, b in zip(u, v, strict=True))
    ratio = 2 * apart / (1 - sum(a * a for a in u)) / (1 - sum(b * b for b in v))
    distances = [1 - abs(z[k]) / length for k in (target, true)]
    return -math.acosh(1 + ratio) - weight * max(0.0, distances[0] - distances[1] + margin)


@pytest.mark.parametrize(("true", "target"), [(0, 1), (0, 2), (1, 0), (2, 1)])
@pytest.mark.parametrize("keys", [{}, {"triplet_weight": 2.0, "triplet_margin": 0.5}, {"triplet_weight": 0.0}])
def test_values_by_hand(true, target, keys):
    loss = po_trip.Part(**keys).loss_of_both(linear, torch.tensor([true]), torch.tensor([target]), True)
    values = [keys.get("triplet_weight", 0.01), keys.get("triplet_margin", 0.007)]
    assert loss(POINT).tolist() == pytest.approx([by_hand([5, -2, 3], true, target, *values)], rel=1e-9)


def test_an_image_has_its_own_labels_in_each_copy():
    images = torch.cat([POINT, 2 * POINT - 1])  # logits 7, -2 and 3
    loss = po_trip.Part().loss_of_both(linear, torch.tensor([0, 2]), torch.tensor([1, 0]), True)
    expected = [by_hand([5, -2, 3], 0, 1), by_hand([7, -2, 3], 2, 0)]
    assert loss(torch.cat([images, images])).tolist() == pytest.approx(expected * 2, rel=1e-9)


def test_the_distance_falls_as_the_target_rises():
    logits = torch.tensor([[5.0, 2.0, 3.0]]).double()
    (gradient,) = torch.autograd.functional.jacobian(lambda z: po_trip.poincare_distance(z, torch.tensor([1])), logits)
    assert gradient[0, 1] < 0 < gradient[0, 0]


def test_the_triplet_leaves_the_true_label():
    """It is minimised: the true label's cosine is to sink and the target's to rise."""
    logits = torch.tensor([[5.0, 2.0, 3.0]]).double()
    true, target = torch.tensor([0]), torch.tensor([1])
    assert po_trip.triplet(logits, true, target, 0.1).item() == pytest.approx(3 / math.sqrt(38) + 0.1)
    (gradient,) = torch.autograd.functional.jacobian(lambda z: po_trip.triplet(z, true, target, 0.1), logits)
    assert gradient[0, 0] > 0 > gradient[0, 1]
    assert po_trip.triplet(logits, target, true, 0.1).item() == 0  # the target is ahead by more than the margin


def network(seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8 * 36, 7))
    return layers.requires_grad_(False)


@pytest.mark.parametrize("weight", [0.01, 3.0])
def test_an_attack_of_an_ensemble_is_a_loop_written_apart(weight):
    """A crafted cell descends the authors' loss of the ensemble's mean logits."""
    pair = [network(3), network(4)]
    images = torch.randint(0, 256, (4, 3, 8, 8), generator=torch.Generator().manual_seed(1))
    x = images.float()
    v = nn.functional.one_hot(TARGETS, 7) * 0.99999
    for _ in range(4):
        y = x.clone().requires_grad_()
        z = sum(member(y / 255) for member in pair) / 2
        u = z / z.abs().sum(1, keepdim=True)
        delta = 2 * (u - v).norm(dim=1) ** 2 / ((1 - u.norm(dim=1) ** 2) * (1 - 0.99999**2))
        po = torch.log(1 + delta + ((1 + delta) ** 2 - 1).sqrt())  # arcosh
        cosine = nn.functional.normalize(z, dim=1).abs()
        ahead = cosine[range(4), LABELS] - cosine[range(4), TARGETS]
        (po + weight * (ahead + 0.007).clamp(min=0)).sum().backward()
        x = x - 3 * y.grad.sign()
        x = torch.maximum(torch.minimum(x, (images + 16).clamp(max=255)), (images - 16).clamp(min=0))
    chunk, counted = Chunk(images.to(torch.uint8), LABELS, TARGETS, [4, 1, 9, 7]), []
    members = [lambda x, member=member: member(x / 255) for member in pair]
    found, finite = craft(members, Attack(**ROW, triplet_weight=weight), chunk, counted.append)
    assert (found["images"] == x.to(torch.uint8)).float().mean() > 0.998 and finite.all()  # but for float32's zeros
    assert sum(counted) == 4 * 4
    aimed, left = ([member(found["images"] / 255) for member in pair], [member(images / 255) for member in pair])
    rises = sum(aimed)[range(4), TARGETS] - sum(left)[range(4), TARGETS]
    assert (rises > 0).all()


def test_a_source_that_is_sure_has_a_finite_gradient():
    logits = torch.tensor([[60.0] + [0.01] * 999])
    for target in (0, 1):
        loss = po_trip.Part().loss_of_both(
            lambda x: x.flatten(1), torch.tensor([1 - target]), torch.tensor([target]), True
        )
        assert plain(loss, logits.view(1, 1, 1, -1)).isfinite().all()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"objective": "untargeted"}, "goes from the true label to a target; set objective: targeted, or another loss"),
        ({"fusion": "probabilities"}, "loss: po_trip takes logits, of an ensemble their mean; set fusion: logits"),
        ({"triplet_weight": -1}, "greater than or equal to 0"),
        ({"triplet_weight": math.inf}, "finite"),
        ({"triplet_margin": 1.5}, "less than or equal to 1"),
        (
            {"loss": "logit", "triplet_weight": 1},
            "triplet_weight is used only with loss: po_trip, and here loss is logi",
        ),
    ],
)
def test_bad_values_are_errors(row, message):
    with pytest.raises(ValueError, match=message):
        Attack(**ROW | row)


def test_po_trip_is_explained():
    facts = dict(formulas.update_facts(Attack(**ROW, triplet_margin=0.25), 2))
    assert facts["triplet"].startswith(
        "T(x) = max(0, |cos(f(x), e[true label])| − |cos(f(x), e[target label])| + 0.25)"
    )
    assert "− 0.01 · T(x)" in facts["loss"] and facts["loss"].endswith("f = mean of the members' logits (equation 3)")
