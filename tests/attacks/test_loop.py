"""The loop and its parts against two-step trajectories computed by hand on a linear model.

The model: logits (0, w.x) on four pixels with w = (1, -2, 0.5, 0). With p = sigmoid(w.x), the gradient of
the cross-entropy of label 0 is p w, of label 1 (p - 1) w.
"""

import itertools
import math

import pytest
import torch
from torch import Tensor

from crossfool.attacks.backward import plain
from crossfool.attacks.fusion import source_log_probabilities
from crossfool.attacks.gradients.smoothed import smoothed
from crossfool.attacks.loop import Budget, attack
from crossfool.attacks.losses.cross_entropy import target_loss, untargeted
from crossfool.attacks.noise.gaussian import gaussian
from crossfool.attacks.projection import project_linf, quantise
from crossfool.attacks.updates import momentum, sign

W = torch.tensor([1.0, -2.0, 0.5, 0.0]).view(1, 1, 2, 2)


def linear(x: Tensor) -> Tensor:
    """Logits (N,2) of images (N,1,2,2)."""
    score = (x * W).sum((1, 2, 3)) / 100
    return torch.stack([torch.zeros_like(score), score], 1)


def image(*pixels: float) -> Tensor:
    return torch.tensor(pixels, dtype=torch.float32).view(1, 1, 2, 2)


def loss_of(label: int, model=linear):
    return untargeted(source_log_probabilities([model], "probabilities"), torch.tensor([label]))


def run(loss, x, *, epsilon, steps, step_size, estimate=plain, update=sign.sign):
    return attack(loss, x, Budget(epsilon, steps, step_size), estimate=estimate, update=update)


def test_igsm_two_steps_by_hand():
    # label 0: gradient is along w, sign (+, -, +, 0). Step 1 moves by 5; step 2 would reach 10, the ball ends at 8.
    x = image(100, 100, 252, 7)
    assert run(loss_of(0), x, epsilon=8, steps=1, step_size=5).tolist() == image(105, 95, 255, 7).tolist()
    assert run(loss_of(0), x, epsilon=8, steps=2, step_size=5).tolist() == image(108, 92, 255, 7).tolist()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("made_within", [False, True])
def test_gradients_are_taken_where_others_switched_them_off(mode, made_within):
    """As in the middle of a loop that evaluates."""
    x = image(100, 100, 252, 7)
    loss = loss_of(0)
    with mode():
        mine = x.clone() if made_within else x
        assert run(loss, mine, epsilon=8, steps=2, step_size=5).tolist() == image(108, 92, 255, 7).tolist()
        assert not torch.is_grad_enabled()


def test_label_one_moves_the_other_way():
    x = image(100, 100, 252, 7)
    assert run(loss_of(1), x, epsilon=8, steps=2, step_size=5).tolist() == image(92, 108, 244, 7).tolist()


def test_fgsm_is_one_step_of_epsilon():
    x = image(3, 250, 128, 0)
    assert run(loss_of(1), x, epsilon=15, steps=1, step_size=15).tolist() == image(0, 255, 113, 0).tolist()


def test_targeted_descends_the_loss_of_the_target():
    x = image(100, 100, 100, 100)
    loss = target_loss(source_log_probabilities([linear], "probabilities"), torch.tensor([1]))
    # towards label 1: the score w.x must rise
    assert run(loss, x, epsilon=20, steps=2, step_size=15).tolist() == image(120, 80, 120, 100).tolist()


class Scripted:
    """An estimator that hands out given gradients, whatever the loss."""

    def __init__(self, *given: Tensor) -> None:
        self.given = itertools.cycle(given)

    def __call__(self, loss, x: Tensor) -> Tensor:
        return next(self.given)


def test_momentum_adds_raw_gradients_normalised_by_their_l1_norm():
    # step 1: g = (6, -2, 0, 0)/8 = (.75, -.25, 0, 0).
    # step 2: mu g + (-1, 1, 2, 0)/4 = .5 (.75, -.25, 0, 0) + (-.25, .25, .5, 0) = (.125, .125, .5, 0): (+, +, +, 0).
    # Signs taken before the momentum would give .5 (1, -1, 0, 0) + (-1, 1, 1, 0): (-, +, +, 0).
    first, second = image(6, -2, 0, 0), image(-1, 1, 2, 0)
    x_adv = run(
        None, image(100, 100, 100, 100), epsilon=10, steps=2, step_size=3,
        estimate=Scripted(first, second), update=momentum.momentum(0.5),
    )  # fmt: skip
    assert x_adv.tolist() == image(106, 100, 103, 100).tolist()


def test_momentum_norm_is_per_example_and_state_is_fresh():
    update = momentum.momentum(1.0)
    batch = torch.cat([image(6, -2, 0, 0), image(600, -200, 0, 0)])
    direction = update()
    assert direction(batch).tolist() == torch.cat([image(0.75, -0.25, 0, 0)] * 2).tolist()
    assert update()(batch).tolist() == torch.cat([image(0.75, -0.25, 0, 0)] * 2).tolist()
    assert momentum.momentum(1.0)()(torch.zeros(1, 1, 2, 2)).tolist() == torch.zeros(1, 1, 2, 2).tolist()


def test_migsm_two_steps_by_hand():
    # gradients of label 0 are along w both times: the accumulated direction is along w/3.5
    x = image(100, 100, 100, 100)
    x_adv = run(loss_of(0), x, epsilon=15, steps=2, step_size=5, update=momentum.momentum(1.0))
    assert x_adv.tolist() == image(110, 90, 110, 100).tolist()


def test_smoothed_gradient_is_the_mean_over_unclipped_noise():
    noise = [image(300, 0, 0, 0), image(0, -300, 0, 0)]
    seen = []

    def loss(x: Tensor) -> Tensor:
        seen.append(x.detach().clone())
        return (x**2).sum((1, 2, 3)) / 2  # gradient x

    estimate = smoothed(2, lambda step, x: iter(noise))
    x = image(10, 20, 30, 40)
    assert estimate(loss, x).tolist() == image(160, -130, 30, 40).tolist()
    assert seen[0].tolist() == image(310, 20, 30, 40).tolist()  # beyond 255: not clipped


def test_sigma_zero_is_plain():
    x = torch.randint(0, 256, (3, 1, 2, 2)).float()
    loss = untargeted(source_log_probabilities([linear], "probabilities"), torch.tensor([0, 1, 0]))
    sg = smoothed(4, gaussian(0, [5, 6, 7], 0.0))
    assert torch.equal(
        run(loss, x, epsilon=15, steps=5, step_size=5, estimate=sg), run(loss, x, epsilon=15, steps=5, step_size=5)
    )


def test_noise_is_of_the_image_seed_and_step_alone():
    def samples(seed: int, ids: list[int], step: int, count: int) -> Tensor:
        x = torch.zeros(len(ids), 3, 4, 4)
        return torch.stack(list(itertools.islice(gaussian(seed, ids, 2.0)(step, x), count)), 1)

    alone = samples(0, [7], 2, 3)
    together = samples(0, [3, 7, 9], 2, 5)
    assert torch.equal(alone[0], together[1, :3])
    assert torch.equal(samples(0, [9, 7], 2, 3)[1], alone[0])
    for other in (samples(1, [7], 2, 3), samples(0, [8], 2, 3), samples(0, [7], 3, 3)):
        assert not torch.isclose(other, alone).any()


def test_noise_has_its_mean_and_deviation():
    sample = next(gaussian(0, [1], 15.0)(0, torch.zeros(1, 3, 200, 200)))
    assert abs(sample.mean()) < 5 * 15 / math.sqrt(sample.numel())
    assert abs(sample.std() - 15) < 5 * 15 / math.sqrt(2 * sample.numel())


@pytest.mark.parametrize("fusion", ["probabilities", "logits", "losses"])
def test_ensemble_of_one_is_the_model(fusion):
    x = torch.rand(4, 1, 2, 2) * 255
    expected = linear(x).log_softmax(1)
    assert torch.allclose(source_log_probabilities([linear], fusion)(x), expected, atol=1e-6)


def test_fusions_by_hand():
    # two members with probabilities (.2, .8) and (.6, .4) for one image
    first, second = torch.tensor([[0.2, 0.8]]), torch.tensor([[0.6, 0.4]])
    members = [lambda x: first.log() + 3, lambda x: second.log() - 1]  # logits are free up to a constant
    x = torch.zeros(1, 1, 1, 1)
    mean = source_log_probabilities(members, "probabilities")(x).exp()
    assert torch.allclose(mean, torch.tensor([[0.4, 0.6]]))
    # mean of logits: sqrt of the product of probabilities, normalised
    a, b = math.sqrt(0.2 * 0.6), math.sqrt(0.8 * 0.4)
    logits = source_log_probabilities(members, "logits")(x).exp()
    assert torch.allclose(logits, torch.tensor([[a / (a + b), b / (a + b)]]))
    losses = -source_log_probabilities(members, "losses")(x)
    assert torch.allclose(losses, torch.tensor([[-math.log(0.2 * 0.6) / 2, -math.log(0.8 * 0.4) / 2]]))


def test_projection_by_hand():
    x = image(0, 100, 250, 128)
    assert project_linf(image(-20, 130, 300, 127), x, 10).tolist() == image(0, 110, 255, 127).tolist()


def test_quantise_rounds_into_the_ball():
    x = image(100, 100, 0, 255)
    # epsilon 2.6: 102.6 rounds to 103, which is outside; whole values within the ball end at 102
    assert quantise(image(102.6, 97.4, 0.4, 254.6), x, 2.6).tolist() == [[[[102, 98], [0, 255]]]]


@pytest.mark.parametrize("update", [sign.sign, momentum.momentum(1.0)])
@pytest.mark.parametrize("smooth", [False, True])
def test_integer_attacks_stay_integers_in_ball_and_box(update, smooth):
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 16), torch.nn.Tanh(), torch.nn.Linear(16, 5))
    x = torch.randint(0, 256, (6, 3, 4, 4)).float()
    iterates = []

    def model(images: Tensor) -> Tensor:
        return network(images / 64 - 2)

    loss = untargeted(source_log_probabilities([model], "probabilities"), torch.arange(6) % 5)
    inner = smoothed(3, gaussian(0, list(range(6)), 15.0)) if smooth else plain

    def estimate(loss, images: Tensor) -> Tensor:
        iterates.append(images.detach().clone())
        return inner(loss, images)

    x_adv = run(loss, x, epsilon=15, steps=6, step_size=4, estimate=estimate, update=update)
    for iterate in [*iterates, x_adv]:
        assert torch.equal(iterate, iterate.round())
        assert (iterate - x).abs().max() <= 15
        assert iterate.min() >= 0 and iterate.max() <= 255
    assert torch.equal(quantise(x_adv, x, 15).float(), x_adv)
    assert (x_adv - x).abs().max() == 15
