"""Admix: whole trajectories against a loop written straight from the paper, and draws that nothing else decides."""

import functools
import itertools
import math
import zlib

import numpy as np
import pytest
import torch
from small_convs import make_network
from torch import Tensor, nn

from crossfool import seeds
from crossfool.attacks import compose
from crossfool.attacks.chunk import Chunk, Pool
from crossfool.attacks.config import Attack
from crossfool.attacks.inputs.admix import mixing
from crossfool.attacks.loop import Budget, attack
from crossfool.attacks.types import Context
from crossfool.errors import UserError
from crossfool.experiment import formulas
from crossfool.models.inference.batch_size import Fit
from crossfool.pipeline.crafting.craft import craft_in_batches

EPSILON, STEP, STEPS, MU, ETA = 16, 3, 3, 0.8, 0.3
# seven clean images of the subset, the first three attacked; images of class 3 are of places 1 and 4
CLASSES, IDS = [0, 3, 6, 0, 3, 5, 6], [4, 1, 9, 20, 3, 7, 15]
LABELS = torch.tensor(CLASSES[:3])


@functools.cache
def network() -> nn.Module:
    return make_network(8 * 12)


def loss(x: Tensor) -> Tensor:
    return nn.functional.cross_entropy(network()(x / 255), LABELS.repeat(len(x) // len(LABELS)), reduction="none")


@pytest.fixture
def clean() -> Tensor:
    return torch.randint(0, 256, (7, 3, 11, 13), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def pool(clean: Tensor, *places: int) -> Pool:
    """The subset, or some of its images."""
    some = list(places) or list(range(len(clean)))
    return Pool(clean.numpy()[some], np.array(CLASSES)[some], np.array(IDS)[some])


def ours(clean: Tensor, **row: object) -> Tensor:
    one = Attack(epsilon=EPSILON, steps=STEPS, step_size=STEP, update="momentum", decay=MU, **row)
    estimate = compose.build_estimator(one, IDS[:3], 2, pool(clean))
    built_loss = compose.build_loss(one, loss, IDS[:3], pool(clean))
    budget = Budget(EPSILON, STEPS, STEP)
    return attack(built_loss, clean[:3].double(), budget, estimate=estimate, update=compose.build_update(one))


def mixed_in(clean: Tensor, step: int, i: int, seed: int = 5) -> Tensor:
    """x'_i of the three attacked images at a step, by the paper's choice of classes and the library's draws."""
    chosen = []
    for n in range(3):
        others = sorted((IDS[k], k) for k in range(7) if CLASSES[k] != CLASSES[n])
        drawn = seeds.derive_seed(seed, IDS[n], step, i, zlib.crc32(b"admix"))
        chosen.append(others[drawn % len(others)][1])
    return clean[chosen].double()


@pytest.mark.parametrize("scales", [1, 4])
def test_admix_is_its_papers_loop(clean, scales):
    """The mean over x' and i of the gradients of J((x + eta x') / 2^i) by x, as in the paper's equation."""
    images = clean[:3].double()
    x, g = images, torch.zeros_like(images)
    for step in range(STEPS):
        y, total = x.clone().requires_grad_(), 0
        for i, k in itertools.product(range(2), range(scales)):
            total += loss((y + ETA * mixed_in(clean, step, i)) / 2**k).sum() / (2 * scales)
        total.backward()
        g = MU * g + y.grad / y.grad.abs().sum((1, 2, 3), keepdim=True)
        x = x + STEP * g.sign()
        x = torch.maximum(torch.minimum(x, (images + EPSILON).clamp(max=255)), (images - EPSILON).clamp(min=0))
    row = {"admix": 2, "admix_strength": ETA, "seed": 5, **({"scales": scales} if scales > 1 else {})}
    assert torch.equal(ours(clean, **row), x)
    assert not torch.equal(ours(clean, **row | {"seed": 6}), x)


def test_the_papers_row_costs_fifteen_gradients_a_step():
    assert Attack(epsilon=16, steps=10, step_size=1.6, admix=3, scales=5).gradient_evaluations == 150
    assert Attack(epsilon=16, steps=10, step_size=1.6, admix=3).parts.inputs[0].admix_strength == 0.2


def context(clean: Tensor, ids=tuple(IDS[:3]), *places: int, seed: int = 5, copies: int = 1) -> Context:
    return Context(ids, seed, copies=copies, pool=pool(clean, *places))


def test_images_mixed_in_are_of_other_classes_and_all_of_them(clean):
    view, found = mixing(context(clean), 1.0), [set(), set(), set()]
    for _ in range(200):
        seen = view(torch.zeros(3, 3, 11, 13).double(), 0)
        for n in range(3):
            (place,) = [k for k in range(7) if torch.equal(seen[n], clean[k].double())]
            found[n].add(place)
    assert found == [{1, 2, 4, 5, 6}, {0, 2, 3, 5, 6}, {0, 1, 3, 4, 5}]


def test_draws_are_an_images_own_whatever_its_batch_and_the_subsets_order(clean):
    x = torch.zeros(3, 3, 11, 13)
    whole = mixing(context(clean), 0.5)
    first, second, third = whole(x, 0), whole(x, 0), whole(x, 1)
    assert not torch.equal(first, second) and not torch.equal(second, third)
    turned = mixing(context(clean, tuple(IDS[2::-1]), 5, 6, 4, 2, 3, 0, 1), 0.5)
    assert torch.equal(turned(x, 0).flip(0), first) and torch.equal(turned(x, 0).flip(0), second)
    alone = mixing(context(clean, (IDS[1],)), 0.5)
    assert torch.equal(alone(x[:1], 0), first[1:2])


def test_all_gradients_of_a_step_mix_in_the_same(clean):
    x, view = torch.zeros(3, 3, 11, 13), mixing(context(clean, copies=4), 0.5)
    first, second = ([view(x, i) for i in (0, 0, 1, 1)] for _ in range(2))
    for step in (first, second):
        assert torch.equal(step[0], step[1]) and torch.equal(step[2], step[3]) and not torch.equal(step[0], step[2])
    assert not torch.equal(first[0], second[0])


@pytest.mark.parametrize("parts", [[slice(0, 3), slice(3, 7)], [slice(4, 7), slice(0, 4)], [slice(0, 7)]])
def test_chunks_and_batches_change_nothing(clean, parts):
    row = Attack(epsilon=EPSILON, steps=STEPS, step_size=STEP, admix=2, scales=2, seed=5)
    labels = torch.tensor(CLASSES)
    chunk = Chunk(clean, labels, labels, IDS, pool(clean))
    members = [lambda x: network()(x.double() / 255)]

    def crafted(part: slice, batch: int) -> Tensor:
        return craft_in_batches(members, row, chunk.part(part), Fit(batch, torch.device("cpu")))[0]["images"]

    whole = crafted(slice(0, 7), 7)
    for batch in (1, 2, 7):
        assert all(torch.equal(crafted(part, batch), whole[part]) for part in parts)


def test_a_subset_of_one_class_is_an_error(clean):
    with pytest.raises(UserError, match="and all 2 images are of class 3; remove admix, or draw images of more classe"):
        mixing(context(clean, (1,), 1, 4), 0.2)


def test_ids_that_repeat_are_an_error(clean):
    with pytest.raises(UserError, match="admix finds the classes of images by their ids, and some ids are the same"):
        mixing(context(clean, (1,), 1, 4, 4), 0.2)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"admix": 0}, "greater than or equal to 1"),
        ({"admix": 1.5}, "valid integer"),
        ({"admix": 3, "admix_strength": 0}, "greater than 0"),
        ({"admix": 3, "admix_strength": 1.1}, "less than or equal to 1"),
        ({"admix": 3, "admix_strength": math.nan}, "finite|less than or equal to 1"),
        ({"admix_strength": 0.2}, "admix_strength is used only with admix; remove admix_strength or give admix"),
    ],
)
def test_bad_values_are_errors(row, message):
    with pytest.raises(ValueError, match=message):
        Attack(epsilon=EPSILON, steps=STEPS, step_size=STEP, **row)


def test_admix_is_explained():
    facts = dict(formulas.update_facts(Attack(epsilon=16, steps=10, step_size=1.6, admix=3, scales=5), 1))
    assert facts["admix"].startswith("∇J(x) is the mean over 3 images x′ of those of J(x + 0.2 x′) by x; x′ clean")
    assert formulas.evaluations_formula(Attack(epsilon=16, steps=10, step_size=1.6, admix=3, scales=5)) == "T · m₂ · s"
