"""MEF, PGN, EMI, GI and RGD: whole trajectories against loops written apart, in float64 on one network; bad values."""

import functools
import itertools

import pytest
import torch
from small_convs import make_network
from torch import Tensor, nn

from crossfool.attacks import compose
from crossfool.attacks.config import Attack
from crossfool.attacks.gradients import _along, enhanced, maximin, penalised
from crossfool.attacks.loop import Budget, attack
from crossfool.attacks.noise.uniform import uniform
from crossfool.attacks.updates.raw import raw
from crossfool.experiment import formulas

EPSILON, STEP, STEPS, MU = 16, 3, 5, 0.8
LABELS, IDS = torch.tensor([0, 3, 6, 2]), [4, 1, 9, 7]
MOMENTUM = {"update": "momentum", "decay": MU}
MAXIMIN = {"gradient": "maximin", "samples": 4, "radius": 20.0, "reach": 2.5, "inner_decay": 0.9}
PENALISED = {"gradient": "penalised", "samples": 4, "radius": 20.0, "reach": 4.0, "balance": 0.3}
ENHANCED = {"gradient": "enhanced", "samples": 5, "reach": 12.0}
INITIALISED = {"update": "initialised", "decay": MU, "warmup": 2, "search": 4.0}


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
    return torch.randint(0, 256, (4, 3, 12, 12), generator=torch.Generator().manual_seed(1)).double()


def ours(images: Tensor, steps: int = STEPS, step_size: float = STEP, each=lambda step, x: None, **row) -> Tensor:
    """The loop with the parts of a row."""
    one = Attack(epsilon=EPSILON, steps=steps, step_size=step_size, **row)
    estimate, update = compose.build_estimator(one, IDS, together=3), compose.build_update(one)
    budget = Budget(EPSILON, steps, step_size)
    return attack(compose.build_loss(one, loss, IDS), images, budget, estimate=estimate, update=update, each=each)


def clipped(x: Tensor, clean: Tensor) -> Tensor:
    return torch.maximum(torch.minimum(x, (clean + EPSILON).clamp(max=255)), (clean - EPSILON).clamp(min=0))


def l1(g: Tensor) -> Tensor:
    return g.abs().sum((1, 2, 3), keepdim=True)


def mean_one(g: Tensor) -> Tensor:
    return g / g.abs().mean((1, 2, 3), keepdim=True)


def drawn(images: Tensor, samples: int) -> list[list[Tensor]]:
    """The neighbours' noise, step by step, as an estimator draws it."""
    return [list(itertools.islice(uniform(0, IDS, 20.0)(step, images), samples)) for step in range(STEPS)]


def maximin_loop(images: Tensor, mu: float) -> Tensor:
    """Its authors' loop, which keeps a direction for each neighbour."""
    x, g, directions = images, torch.zeros_like(images), [torch.zeros_like(images) for _ in range(4)]
    for noise in drawn(images, 4):
        found = [gradient(x + noise[k] + 2.5 * directions[k]) for k in range(4)]
        directions = [mean_one(found[k] / 4) - 0.9 * directions[k] for k in range(4)]
        total = sum(found) / 4
        g = mu * g + total / l1(total)
        x = clipped(x + STEP * g.sign(), images)
    return x


def test_maximin_is_its_authors_loop(images):
    found = ours(images, **MAXIMIN, **MOMENTUM)
    assert torch.equal(found, maximin_loop(images, MU))
    assert torch.equal(ours(images, **MAXIMIN), maximin_loop(images, 0.0))
    others = [{"inner_decay": 0.0}, {"reach": 0.5}, {"gradient": "smoothed", "reach": None, "inner_decay": None}]
    for other in ({"noise": "uniform", **MAXIMIN, **MOMENTUM, **change} for change in others):
        assert not torch.equal(found, ours(images, **other))


def test_penalised_is_its_papers_loop(images):
    x, g = images, torch.zeros_like(images)
    for noise in drawn(images, 4):
        total = torch.zeros_like(images)
        for r in noise:
            near = x + r
            own = gradient(near)
            total += (0.7 * own + 0.3 * gradient(near - 4 * mean_one(own))) / 4
        g = MU * g + total / l1(total)
        x = clipped(x + STEP * g.sign(), images)
    found = ours(images, **PENALISED, **MOMENTUM)
    assert torch.equal(found, x)
    for change in ({"balance": 0.9}, {"reach": 20.0}):
        assert not torch.equal(found, ours(images, **{**PENALISED, **change}, **MOMENTUM))


def test_enhanced_is_its_papers_loop(images):
    x, g, along = images, torch.zeros_like(images), torch.zeros_like(images)
    for _ in range(STEPS):
        total = sum(gradient(x + c * along) for c in (-12, -6, 0, 6, 12)) / 5
        along = mean_one(total)
        g = MU * g + total / l1(total)
        x = clipped(x + STEP * g.sign(), images)
    found = ours(images, **ENHANCED, **MOMENTUM)
    assert torch.equal(found, x)
    assert not torch.equal(found, ours(images, **MOMENTUM))


def test_enhanced_takes_points_where_nesterov_looks(images):
    x, g, along = images, torch.zeros_like(images), torch.zeros_like(images)
    for _ in range(STEPS):
        point = x + STEP * MU * images[0].numel() * g
        total = sum(gradient(point + c * along) for c in (-12, -6, 0, 6, 12)) / 5
        along = mean_one(total)
        g = MU * g + total / l1(total)
        x = clipped(x + STEP * g.sign(), images)
    assert torch.equal(ours(images, **ENHANCED, update="nesterov", decay=MU), x)


def square(x: Tensor) -> Tensor:
    """A loss whose gradient by x is x."""
    return x.square().sum((1, 2, 3)) / 2


def at(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).view(1, 1, 1, -1)


def still(step: int, x: Tensor):
    return itertools.repeat(torch.zeros_like(x))


def test_estimates_by_hand():
    """At x = (3, -1) the gradient is x, of mean absolute value 2: one unit along it is (1.5, -0.5)."""
    x = at(3, -1)
    assert torch.equal(penalised.penalised(2, 2.0, 0.5, still)(square, x), at(1.5, -0.5))  # of (3, -1) and (0, 0)
    estimate = maximin.maximin(2, 4.0, 0.5, still)
    # its move is (1.5, -0.5) after the first step, and half of that after the second
    assert [estimate(square, x).flatten().tolist() for _ in range(3)] == [[3, -1], [9, -3], [6, -2]]
    estimate = enhanced.enhanced(3, 2.0)
    assert torch.equal(estimate(square, x), x)
    seen: list[Tensor] = []
    estimate(lambda x: seen.append(x.detach()) or square(x), x)
    assert [point.flatten().tolist() for point in seen] == [[0, 0], [3, -1], [6, -2]]


def test_a_gradient_of_zeros_has_no_direction_and_a_tiny_one_has():
    assert torch.equal(_along.unit_mean(at(0, 0)), at(0, 0))
    assert torch.allclose(_along.unit_mean(at(3e-300, -1e-300)), at(1.5, -0.5))


def test_raw_is_its_papers_loop(images):
    alpha, x, hidden = 400.0, images, images
    for _ in range(STEPS):
        hidden = hidden + alpha * 255 * gradient(x)
        x = clipped(hidden, images)
    found = ours(images, step_size=alpha, update="raw")
    assert torch.allclose(found, x, atol=1e-9, rtol=0)
    assert (hidden - images).abs().max() > 2 * EPSILON and not torch.equal(found, found.round())


def test_raw_sums_what_was_clipped_by_hand():
    """The hidden sum of J = c x leaves the ball and comes back: 10, 40 and -5 beyond 100, within 16."""
    rates, seen = iter((10, 30, -45)), []

    def estimate(loss, x: Tensor) -> Tensor:
        return torch.full_like(x, next(rates) / 255)

    budget = Budget(16, 3, 1.0)
    attack(square, at(100), budget, estimate=estimate, update=raw(1.0), each=lambda step, x: seen.append(x.item()))
    assert seen == pytest.approx([110, 116, 95])


def test_raw_takes_every_estimate(images):
    alpha, x, hidden = 400.0, images, images
    for noise in drawn(images, 4):
        hidden = hidden + alpha * 255 * sum(gradient(x + r) for r in noise) / 4
        x = clipped(hidden, images)
    found = ours(images, step_size=alpha, update="raw", gradient="smoothed", noise="uniform", radius=20.0, samples=4)
    assert torch.allclose(found, x, atol=1e-9, rtol=0)


def test_initialised_is_its_papers_loop(images):
    g, path = torch.zeros_like(images), images
    for _ in range(2):
        g = MU * g + gradient(path) / l1(gradient(path))
        path = clipped(path + 4 * STEP * g.sign(), images)
    x, kept = images, []
    for _ in range(STEPS - 2):
        g = MU * g + gradient(x) / l1(gradient(x))
        x = clipped(x + STEP * g.sign(), images)
    found = ours(images, each=lambda step, x: kept.append(x), **INITIALISED)
    assert torch.equal(found, x)
    assert [torch.equal(one, images) for one in kept] == [True, True, False, False, False]
    for other in (MOMENTUM, {**INITIALISED, "search": 1.0}, {**INITIALISED, "warmup": 1}):
        assert not torch.equal(found, ours(images, **other))


def test_initialised_keeps_its_path_in_the_ball_and_in_the_range_of_pixels():
    seen: list[list[float]] = []

    def estimate(loss, x: Tensor) -> Tensor:
        seen.append(x.flatten().tolist())
        return torch.ones_like(x)

    row = Attack(epsilon=16, steps=5, step_size=3, **INITIALISED | {"warmup": 3})
    last = attack(square, at(100, 250), Budget(16, 5, 3), estimate=estimate, update=compose.build_update(row))
    assert seen == [[100, 250], [112, 255], [116, 255], [100, 250], [103, 253]]
    assert last.flatten().tolist() == [106, 255]


def test_evaluations_are_those_of_the_papers():
    row = {"epsilon": 16, "steps": 10, "step_size": 1.6}
    costs = {"maximin": 4, "penalised": 8, "enhanced": 5}
    for parts in (MAXIMIN, PENALISED, ENHANCED):
        assert Attack(**row, **parts).gradient_evaluations == 10 * costs[parts["gradient"]]
        assert Attack(**row, **parts, scales=3).gradient_evaluations == 30 * costs[parts["gradient"]]
    assert Attack(**row, update="raw").gradient_evaluations == Attack(**row, **INITIALISED).gradient_evaluations == 10


def test_formulas_show_where_a_step_is_no_sign_of_a_direction():
    row = {"epsilon": 16, "steps": 5, "step_size": 3}
    facts = dict(formulas.update_facts(Attack(**row, update="raw", kernel=3), 1))
    assert facts["sum"] == "zₜ₊₁ = zₜ + 3 · 255 · Kₜ, z₀ = x₀" and "iterate" not in facts
    assert facts["step"] == "xₜ₊₁ = clip(zₜ₊₁) to [0, 255] and |x − x₀| ≤ 16; 5 times: t = 0 … 4"
    facts = dict(formulas.update_facts(Attack(**row, **INITIALISED), 1))
    assert facts["gradient"] == "∇J(yₜ)" and facts["look"].endswith("|y − x₀| ≤ 16, y₀ = x₀")
    assert facts["step"].startswith("xₜ₊₁ = clip(xₜ + 3 · [t ≥ 2] · sign gₜ₊₁) to")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**MAXIMIN, "samples": 0}, "samples"),
        ({**MAXIMIN, "reach": 0}, "reach"),
        ({**MAXIMIN, "reach": "3/255"}, "expected a number of pixel values"),
        ({**MAXIMIN, "inner_decay": -0.1}, "inner_decay"),
        ({**MAXIMIN, "inner_decay": None}, "inner_decay is missing; gradient: maximin needs it"),
        ({**MAXIMIN, "balance": 0.5}, "balance is used only with gradient: penalised, and here gradient is maximin"),
        ({**MAXIMIN, "steps": 1}, "gradient: maximin differs from smoothed .* set steps: 2 or more"),
        ({**PENALISED, "balance": 0}, "balance"),
        ({**PENALISED, "balance": 1.1}, "balance"),
        ({**PENALISED, "reach": float("inf")}, "reach"),
        ({**PENALISED, "radius": None}, "radius is missing; gradient: penalised needs it"),
        ({**ENHANCED, "samples": 1}, "samples"),
        ({**ENHANCED, "seed": 1}, "seed is used only with"),
        ({**ENHANCED, "steps": 1}, "gradient: enhanced differs from plain from its second step on"),
        ({**INITIALISED, "warmup": 0}, "warmup"),
        ({**INITIALISED, "warmup": 5}, "warmup is 5, expected below steps, 5"),
        ({**INITIALISED, "search": -1}, "search"),
        ({"search": 3.0}, "search is used only with update: initialised, and here update is sign"),
        ({**INITIALISED, "norm": "l2", "epsilon": 900}, "update: initialised warms up by signs in the L-inf ball"),
        ({"update": "raw", "norm": "l2", "epsilon": 900}, "update: raw has no steps of a length, which norm: l2"),
        ({"update": "raw", "decay": 1.0}, "decay is used only with update"),
        (
            {"update": "raw", "gradient": "relevant", "samples": 2, "radius": 9},
            "raw has no steps of a length, which gradient: relevant changes",
        ),
    ],
)
def test_bad_rows_are_refused(row, message):
    with pytest.raises(ValueError, match=message):
        Attack(**{"epsilon": EPSILON, "steps": STEPS, "step_size": STEP} | row)
