"""Later attacks, whole trajectories, against loops written straight from their papers, in float64 on one network."""

import functools
import itertools
import math

import numpy as np
import pytest
import torch
from small_convs import make_network
from torch import Tensor, nn

from crossfool import seeds
from crossfool.attacks import compose
from crossfool.attacks.chunk import Chunk, Pool
from crossfool.attacks.config import Attack
from crossfool.attacks.gradients import relevant
from crossfool.attacks.gradients.smoothed import smoothed
from crossfool.attacks.inputs import diversity
from crossfool.attacks.inputs.kernel import convolved
from crossfool.attacks.loop import Budget, attack
from crossfool.attacks.noise.antithetic import antithetic
from crossfool.attacks.noise.gaussian import gaussian
from crossfool.attacks.noise.latin import latin as latin_noise
from crossfool.attacks.noise.uniform import uniform
from crossfool.attacks.types import Noise
from crossfool.attacks.updates import _shrinking, sign
from crossfool.models.inference.batch_size import Fit
from crossfool.pipeline.crafting import craft

EPSILON, STEP, STEPS, MU = 16, 3, 5, 0.8
LABELS = torch.tensor([0, 3, 6, 2])
IDS = [4, 1, 9, 7]
CLEAN = torch.randint(0, 256, (4, 3, 12, 12), generator=torch.Generator().manual_seed(1))
POOL = Pool(CLEAN.to(torch.uint8).numpy(), LABELS.numpy(), np.array(IDS))


@functools.cache
def network() -> nn.Module:
    return make_network(8 * 9)


def loss(x: Tensor) -> Tensor:
    labels = LABELS.repeat(len(x) // len(LABELS))
    return nn.functional.cross_entropy(network()(x / 255), labels, reduction="none")


def gradient(x: Tensor) -> Tensor:
    """Written apart from the library's."""
    x = x.clone().requires_grad_()
    loss(x).sum().backward()
    assert x.grad is not None
    return x.grad


@pytest.fixture
def images() -> Tensor:
    return CLEAN.double()


def ours(images: Tensor, together: int = 1, ids=IDS, **row: object) -> Tensor:
    """The loop with the parts of a row."""
    one = Attack(epsilon=EPSILON, steps=STEPS, step_size=STEP, **row)
    budget = Budget(EPSILON, STEPS, STEP)
    estimate = compose.build_estimator(one, ids, together, POOL)
    built_loss = compose.build_loss(one, loss, ids, POOL)
    return attack(built_loss, images, budget, estimate=estimate, update=compose.build_update(one))


def clipped(x: Tensor, clean: Tensor) -> Tensor:
    return torch.maximum(torch.minimum(x, (clean + EPSILON).clamp(max=255)), (clean - EPSILON).clamp(min=0))


def l1(g: Tensor) -> Tensor:
    return g.abs().sum((1, 2, 3), keepdim=True)


def noises(draw: Noise, x: Tensor, count: int) -> list[list[Tensor]]:
    """A step's samples, step by step, as an estimator draws them."""
    return [list(itertools.islice(draw(step, x), count)) for step in range(STEPS)]


MOMENTUM = {"update": "momentum", "decay": MU}


def test_nesterov_is_its_papers_loop(images):
    x, g, count = images, torch.zeros_like(images), images[0].numel()
    for _ in range(STEPS):
        found = gradient(x + STEP * MU * g)
        g = MU * g + found / (l1(found) / count)
        x = clipped(x + STEP * g.sign(), images)
    assert torch.equal(ours(images, update="nesterov", decay=MU), x)
    assert not torch.equal(ours(images, **MOMENTUM), x)


def test_nesterov_of_no_decay_and_its_first_step_are_signs(images):
    assert torch.equal(ours(images, update="nesterov", decay=0.0), ours(images))


def test_scales_are_its_papers_loop(images):
    x, g = images, torch.zeros_like(images)
    for _ in range(STEPS):
        y = x.clone().requires_grad_()
        sum(loss(y / 2**i).sum() for i in range(4)).backward()
        g = MU * g + y.grad / l1(y.grad)
        x = clipped(x + STEP * g.sign(), images)
    assert torch.equal(ours(images, scales=4, **MOMENTUM), x)
    assert not torch.equal(ours(images, **MOMENTUM), x)


def test_kernel_is_its_papers_loop(images):
    bell = [math.exp(-((i / (2 / 3)) ** 2) / 2) for i in range(-2, 3)]  # sigma = (5 - 1) / 6
    x = images
    for _ in range(STEPS):
        found, smeared = gradient(x), torch.zeros_like(x)
        around = nn.functional.pad(found, (2, 2, 2, 2))
        for down, right in itertools.product(range(5), range(5)):
            smeared += bell[down] * bell[right] * around[:, :, down : down + 12, right : right + 12]
        x = clipped(x + STEP * smeared.sign(), images)
    assert torch.equal(ours(images, kernel=5), x)
    assert not torch.equal(ours(images), x)


def test_kernel_keeps_a_constant_inside():
    flat = convolved(torch.full((1, 2, 12, 12), 3.0).double(), 7)
    assert torch.allclose(flat[:, :, 3:-3, 3:-3], torch.tensor(3.0).double())
    assert (flat[:, :, 0] < 3).all()


def test_varied_is_its_papers_algorithm(images):
    noise = noises(uniform(0, IDS, 20.0), images, 4)
    x, g, v = images, torch.zeros_like(images), torch.zeros_like(images)
    for step in range(STEPS):
        found = gradient(x)
        g = MU * g + (found + v) / l1(found + v)
        v = sum(gradient(x + r) for r in noise[step]) / 4 - found
        x = clipped(x + STEP * g.sign(), images)
    row = {"gradient": "varied", "samples": 4, "radius": 20.0, **MOMENTUM}
    assert torch.equal(ours(images, **row), x)
    assert not torch.equal(ours(images, **MOMENTUM), x)


def test_relevant_is_its_papers_algorithm(images):
    noise = noises(uniform(0, IDS, 50.0), images, 4)
    x, g, indicator = images, torch.zeros_like(images), torch.full_like(images, 1 / 0.94)
    for step in range(STEPS):
        own, around = gradient(x), sum(gradient(x + r) for r in noise[step]) / 4
        s = (own * around).sum((1, 2, 3)) / own.flatten(1).norm(dim=1) / around.flatten(1).norm(dim=1)
        s = s.view(-1, 1, 1, 1)
        mixed, before = s * own + (1 - s) * around, g
        g = MU * g + mixed / l1(mixed)
        indicator = indicator * 0.94 ** (g.sign() != before.sign()).double()
        x = clipped(x + STEP * indicator * g.sign(), images)
    row = {"gradient": "relevant", "samples": 4, "radius": 50.0, **MOMENTUM}
    found = ours(images, **row)
    assert torch.allclose(found, x, atol=1e-9, rtol=0)
    assert not torch.equal(found, found.round())  # some step did shrink


def test_settling_by_hand():
    own = _shrinking.shrinking_steps(sign.sign, 0.5)()
    assert own.lengths is not None
    gradients = [torch.tensor([first, second]) for first, second in ((2, 0), (-1, 0), (-3, 4), (1, 4))]
    steps = [own.lengths(direction) * direction.sign() for direction in map(own.direction, gradients)]
    assert [step.tolist() for step in steps] == [[1, 0], [-0.5, 0], [-0.5, 1], [0.25, 1]]


def test_a_gradient_of_any_size_has_its_cosine():
    first, second = torch.tensor([[[[3.0, 4.0]]]]), torch.tensor([[[[4.0, 3.0]]]])
    for size in (1.0, 1e-30, 1e30):
        assert relevant._cosine(first * size, second).item() == pytest.approx(0.96)
    assert relevant._cosine(first * 0, second).item() == 0


def placed(image: Tensor, id: int, step: int) -> Tensor:
    """An image (C,12,12) as the paper moves it: a smaller one, nearest neighbours, in zeros; of the library's draws."""
    draws = [(seeds.derive_seed(0, id, step, 0, n) >> 10) / 2**53 for n in range(4)]
    if draws[0] >= 0.5:
        return image
    side = 8 + int(draws[1] * 4)  # of 12 and resize 0.7: 8 to 11
    top, left = (int(draw * (13 - side)) for draw in draws[2:])
    moved = torch.zeros_like(image)
    for row, column in itertools.product(range(side), range(side)):
        moved[:, top + row, left + column] = image[:, row * 12 // side, column * 12 // side]
    return moved


def test_diversity_is_its_papers_loop(images):
    x, changed = images, 0
    for step in range(STEPS):
        y = x.clone().requires_grad_()
        moved = torch.stack([placed(y[n], IDS[n], step) for n in range(4)])
        changed += sum(not torch.equal(moved[n], y[n]) for n in range(4))
        loss(moved).sum().backward()
        x = clipped(x + STEP * y.grad.sign(), images)
    assert 0 < changed < 4 * STEPS  # of probability 1/2
    assert torch.equal(ours(images, diversity=0.5, resize=0.7), x)


def test_diversity_draws_its_whole_range_evenly():
    seen = []
    x = torch.ones(1, 1, 10, 10)
    own = diversity.with_diversity(lambda images: seen.append(images) or images.sum((1, 2, 3)), 0, [5], 0.75, 0.8, 1)
    for _ in range(2000):
        own(x)
    sizes = torch.cat(seen).sum((1, 2, 3)).tolist()
    assert set(sizes) == {100, 64, 81}
    assert sizes.count(100) / 2000 == pytest.approx(0.25, abs=0.05)
    assert sizes.count(64) == pytest.approx(750, abs=100)
    corners = {tuple(one[0].nonzero()[0].tolist()) for one in torch.cat(seen) if one.sum() == 64}
    assert corners == set(itertools.product(range(3), range(3)))


MAXIMIN = {"gradient": "maximin", "samples": 3, "radius": 20.0, "reach": 2.0, "inner_decay": 0.9}
PENALISED = {"gradient": "penalised", "samples": 3, "radius": 20.0, "reach": 3.0, "balance": 0.5}
INITIALISED = {"update": "initialised", "decay": MU, "warmup": 2, "search": 4.0}
COMPOSED = {
    "nesterov": {"update": "nesterov", "decay": MU},
    "di_ti_si_ni": {"diversity": 0.7, "kernel": 3, "scales": 3, "update": "nesterov", "decay": MU},
    "sg_mi_di": {"gradient": "smoothed", "samples": 3, "sigma": 15.0, "diversity": 0.5, **MOMENTUM},
    "antithetic": {"gradient": "smoothed", "samples": 4, "sigma": 15.0, "noise": "antithetic"},
    "latin_si": {"gradient": "smoothed", "samples": 4, "sigma": 15.0, "noise": "latin", "scales": 2},
    "varied_di_si": {"gradient": "varied", "samples": 3, "radius": 20.0, "diversity": 0.7, "scales": 2, **MOMENTUM},
    "admix_si_di": {"admix": 3, "scales": 2, "diversity": 0.7, **MOMENTUM},
    "sg_admix_si": {"gradient": "smoothed", "samples": 2, "sigma": 15.0, "admix": 2, "scales": 2, **MOMENTUM},
    "bsr_di_ti": {"bsr": 3, "diversity": 0.7, "kernel": 3, **MOMENTUM},
    "varied_sia_si": {"gradient": "varied", "samples": 1, "radius": 20.0, "sia": 2, "scales": 2, **MOMENTUM},
    "relevant_ti": {"gradient": "relevant", "samples": 3, "radius": 50.0, "kernel": 3, **MOMENTUM},
    "maximin_si_ni": {**MAXIMIN, "scales": 2, "update": "nesterov", "decay": MU},
    "penalised_di_si": {**PENALISED, "diversity": 0.7, "scales": 2, **MOMENTUM},
    "enhanced_di_ti": {"gradient": "enhanced", "samples": 3, "reach": 9.0, "diversity": 0.7, "kernel": 3, **MOMENTUM},
    "sg_gi": {"gradient": "smoothed", "samples": 3, "sigma": 15.0, **INITIALISED},
    "sg_raw": {"gradient": "smoothed", "samples": 3, "sigma": 15.0, "update": "raw"},
}


@pytest.mark.parametrize("name", COMPOSED)
def test_batch_order_and_what_goes_through_together_change_nothing(images, name):
    row = COMPOSED[name]
    whole = ours(images, **row)
    for together in (2, 3, 7, 99):
        assert torch.allclose(ours(images, together, **row), whole, atol=1e-9, rtol=0)
    with pytest.MonkeyPatch.context() as patch:
        for some in ([2], [3, 1], [3, 2, 1, 0]):
            patch.setitem(globals(), "LABELS", torch.tensor([0, 3, 6, 2])[some])
            found = ours(images[some], 2, ids=[IDS[place] for place in some], **row)
            assert torch.allclose(found, whole[some], atol=1e-9, rtol=0)


@pytest.mark.parametrize("name", COMPOSED)
def test_evaluations_are_counted_to_the_last(name):
    counted, row = [], Attack(epsilon=15, steps=3, step_size=5, **COMPOSED[name])
    x = torch.randint(0, 256, (4, 3, 12, 12), dtype=torch.uint8)
    fit = Fit(4, torch.device("cpu"))
    chunk = Chunk(x, LABELS, LABELS, IDS, POOL)
    made, finite = craft.craft_in_batches([lambda x: network()(x.double() / 255)], row, chunk, fit, counted.append)
    adversarial = made["images"]
    assert sum(counted) == 4 * row.gradient_evaluations_per_seed == 4 * 3 * row.gradient_evaluations_per_step
    assert max(counted) == 8 if row.gradient_evaluations_per_step > 1 else 4  # two copies of four images a pass
    assert adversarial.dtype == torch.uint8 and finite.all()
    assert (adversarial.int() - x.int()).abs().max() <= 15


COPIES = {"nesterov": 1, "di_ti_si_ni": 3, "sg_mi_di": 3, "latin_si": 8, "varied_di_si": 8, "relevant_ti": 4}
COPIES |= {
    "admix_si_di": 6,
    "sg_admix_si": 8,
    "bsr_di_ti": 3,
    "varied_sia_si": 8,
    "maximin_si_ni": 6,
    "penalised_di_si": 12,
    "enhanced_di_ti": 3,
    "sg_gi": 3,
    "sg_raw": 3,
}


@pytest.mark.parametrize(("name", "copies"), COPIES.items())
def test_copies_a_step(name, copies):
    assert Attack(epsilon=15, steps=3, step_size=5, **COMPOSED[name]).gradient_evaluations_per_step == copies


# --- noise ------------------------------------------------------------------------------------------


def test_uniform_noise_is_of_its_range_and_image():
    x = torch.zeros(2, 3, 60, 60)
    sample = next(uniform(0, [5, 8], 7.0)(2, x))
    assert sample.min() >= -7 and sample.max() < 7
    assert sample.std().item() == pytest.approx(14 / math.sqrt(12), rel=0.02)
    assert torch.equal(next(uniform(0, [8], 7.0)(2, x[:1]))[0], sample[1])


def test_antithetic_samples_cancel_in_pairs():
    x = torch.zeros(2, 3, 8, 8)
    drawn = list(itertools.islice(antithetic(gaussian(0, [5, 8], 15.0))(1, x), 6))
    plain = list(itertools.islice(gaussian(0, [5, 8], 15.0)(1, x), 3))
    assert all(torch.equal(a, b) for a, b in zip(drawn[::2], plain, strict=True))
    assert torch.equal(sum(drawn[1:], drawn[0]), x)  # to the last bit


def latin(samples: int, x: Tensor, ids=(5, 8), step: int = 1) -> Tensor:
    return torch.stack(list(latin_noise(0, ids, 15.0, samples)(step, x)))


def test_latin_samples_are_normal_and_take_each_stratum_once():
    drawn = latin(8, torch.zeros(2, 3, 40, 40))
    strata = (torch.special.ndtr(drawn.double() / 15) * 8).floor().long()
    assert torch.equal(strata.sort(0).values, torch.arange(8).view(8, 1, 1, 1, 1).expand_as(strata))
    for sample in drawn:  # each by itself
        assert sample.mean().item() == pytest.approx(0, abs=5 * 15 / math.sqrt(sample.numel()))
        assert sample.std().item() == pytest.approx(15, rel=5 / math.sqrt(2 * sample.numel()))
    cosine = nn.functional.cosine_similarity(drawn[0].flatten(), drawn[1].flatten(), dim=0)
    assert cosine.item() == pytest.approx(-1 / 7, abs=0.06)  # of samples whose sum is nearly nothing


def test_latin_noise_is_of_the_image_seed_and_step_alone():
    x = torch.zeros(1, 3, 4, 4)
    alone = latin(4, x, [8])
    assert torch.equal(latin(4, torch.zeros(2, 3, 4, 4))[:, 1:], alone)
    for other in (latin(4, x, [5]), latin(4, x, [8], step=2)):
        assert not torch.isclose(other, alone).any()


def error(noise: Noise, samples: int, loss, x: Tensor, exact: Tensor) -> float:
    """Mean squared error of the smoothed gradient over many steps' draws."""
    estimate = smoothed(samples, noise)
    return sum((estimate(loss, x) - exact).square().mean().item() for _ in range(20)) / 20


def test_errors_on_a_quadratic_are_those_of_theory():
    """Of J = |x|^2 / 2 the gradient is x: the error is the mean of the noise, of variance sigma^2 / m at random."""
    x = torch.zeros(1, 1, 20, 20).double()
    by = {
        "gaussian": gaussian(0, [1], 15.0),
        "antithetic": antithetic(gaussian(0, [1], 15.0)),
        "latin": latin_noise(0, [1], 15.0, 10),
    }
    found = {name: error(noise, 10, lambda x: x.square().sum((1, 2, 3)) / 2, x, x) for name, noise in by.items()}
    assert found["gaussian"] == pytest.approx(22.5, rel=0.1)
    assert found["antithetic"] == 0
    assert found["latin"] < found["gaussian"] / 20


def test_errors_on_a_network_are_no_larger(images):
    exact = smoothed(4096, gaussian(9, IDS, 15.0), 64)(loss, images)
    plain = gaussian(0, IDS, 15.0)
    by = {
        "gaussian": plain,
        "antithetic": antithetic(plain),
        "latin": latin_noise(0, IDS, 15.0, 8),
    }
    found = {name: error(noise, 8, loss, images, exact) for name, noise in by.items()}
    assert found["antithetic"] < 0.8 * found["gaussian"] and found["latin"] < 0.8 * found["gaussian"], found
