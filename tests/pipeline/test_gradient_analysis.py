"""What the smoothed gradient is, against loops and numbers by hand on tiny models.

The linear model: logits (0, w.x / 100). With p = sigmoid(w.x / 100), the gradient of the cross-entropy of
label 0 is p w / 100, of label 1 (p - 1) w / 100: always along w. The quadratic model: logits (0, sum of w x^2),
whose gradient turns as x moves.
"""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from crossfool.attacks import fusion
from crossfool.attacks.gradients.smoothed import smoothed
from crossfool.attacks.losses import cross_entropy
from crossfool.attacks.noise.gaussian import gaussian
from crossfool.errors import UserError
from crossfool.pipeline.gradient_analysis import analysis
from crossfool.pipeline.gradient_analysis.config import Boundary, Saliency, Similarity

W = torch.tensor([1.0, -2.0, 0.5, 0.0]).view(1, 1, 2, 2)
X = torch.tensor([100.0, 90.0, 252.0, 7.0]).view(1, 2, 2)
SEED, ID, SIGMA = 5, 17, 15.0


class Toy:
    """Logits (0, score), of images (N,1,2,2); keeps the sizes of the batches that it was given."""

    def __init__(self, score) -> None:
        self.score, self.batches = score, []

    def __call__(self, x: Tensor) -> Tensor:
        self.batches.append(len(x))
        score = self.score(x).sum((1, 2, 3))
        return torch.stack([torch.zeros_like(score), score], 1)


def linear(w: Tensor = W) -> Toy:
    return Toy(lambda x: x * w / 100)


def quadratic() -> Toy:
    return Toy(lambda x: x * x * W / 1e4)


def constant() -> Toy:
    return Toy(lambda x: 0 * x)


def loss_of(model, label: int):
    return cross_entropy.untargeted(fusion.source_log_probabilities([model], "probabilities"), torch.tensor([label]))


def by_hand(label: int, m: int) -> Tensor:
    """G(m) of the quadratic model: the mean of plain gradients written out, one sample at a time."""
    noise = gaussian(SEED, [ID], SIGMA)(0, X[None])
    total = torch.zeros(1, 2, 2, dtype=torch.float64)
    for sample in itertools.islice(noise, m):
        x = (X[None] + sample)[0].double()
        p = torch.sigmoid((x * x * W[0] / 1e4).sum())
        total += (p - label) * 2 * x * W[0].double() / 1e4
    return total / m


def estimates(model, samples, *, label: int = 1, batch: int = 3) -> list[Tensor]:
    return list(analysis.smoothed_gradients(model, X, label, samples, sigma=SIGMA, seed=SEED, id=ID, batch=batch))


# --- gradients --------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", [0, 1])
def test_gradient_by_hand(label):
    p = torch.sigmoid(torch.tensor(100 - 180 + 126.0) / 100)
    found = analysis.plain_gradient(linear(), X, label)
    assert found.dtype == torch.float64 and found.shape == (1, 2, 2)
    assert torch.allclose(found, ((p - label) * W[0] / 100).double(), rtol=1e-5)


@pytest.mark.parametrize("batch", [1, 3, 100])
@pytest.mark.parametrize("label", [0, 1])
def test_smoothed_is_the_mean_of_plain_gradients_at_the_same_noise(label, batch):
    samples = [1, 2, 7, 20]
    found = estimates(quadratic(), samples, label=label, batch=batch)
    assert len(found) == len(samples)
    for m, one in zip(samples, found, strict=True):
        assert one.dtype == torch.float64 and one.shape == (1, 2, 2)
        assert torch.allclose(one, by_hand(label, m), rtol=1e-5, atol=0)


def test_smoothed_is_what_an_attack_estimates_in_its_first_step():
    model = quadratic()
    for m, one in zip([1, 5, 12], estimates(model, [1, 5, 12]), strict=True):
        first = smoothed(m, gaussian(SEED, [ID], SIGMA))(loss_of(model, 1), X[None])[0]
        assert torch.allclose(one.float(), first, rtol=1e-5, atol=0)
        # in a batch of others, too, since an image's noise is its own
        noise = gaussian(SEED, [3, ID], SIGMA)
        batch = smoothed(m, noise)(loss_of_two(model), torch.stack([X / 2, X]))[1]
        assert torch.allclose(one.float(), batch, rtol=1e-5, atol=0)


def loss_of_two(model):
    return cross_entropy.untargeted(fusion.source_log_probabilities([model], "probabilities"), torch.tensor([0, 1]))


def test_noise_is_the_images_and_the_seeds():
    (own,) = estimates(quadratic(), [2])
    for change in ({"id": ID + 1}, {"seed": SEED + 1}, {"sigma": 16.0}):
        asked = {"sigma": SIGMA, "seed": SEED, "id": ID, "batch": 3} | change
        (other,) = analysis.smoothed_gradients(quadratic(), X, 1, [2], **asked)
        assert not torch.allclose(own, other)


def test_no_spread_is_the_plain_gradient():
    (found,) = analysis.smoothed_gradients(quadratic(), X, 1, [4], sigma=0.0, seed=0, id=0, batch=3)
    assert torch.allclose(found, analysis.plain_gradient(quadratic(), X, 1))


def test_many_samples_pass_few_at_a_time_and_none_twice():
    model = quadratic()
    assert len(estimates(model, [200], batch=4)) == 1
    assert model.batches == [4] * 50
    model = quadratic()
    estimates(model, [1, 2, 7, 20], batch=4)
    assert max(model.batches) <= 4 and sum(model.batches) == 20


# --- similarity -------------------------------------------------------------------------------------


def test_cosine_by_hand():
    a, b = (torch.tensor(values, dtype=torch.float64) for values in ([3.0, 4.0], [4.0, 3.0]))
    assert analysis.cosine(a, b) == pytest.approx(24 / 25)
    assert analysis.cosine(a, -2 * a) == pytest.approx(-1)
    assert analysis.cosine(a, 0 * b) == 0 == analysis.cosine(0 * a, b)
    assert analysis.cosine(0 * a, 0 * a) == 0


def similarity(source, target, **change) -> list[tuple[int, int, float]]:
    values = {"source": "a", "target": "b", "images": 2, "samples": [1, 2, 5], "sigma": SIGMA, "seed": SEED}
    row = Similarity.model_validate(values | change)
    images, labels = torch.stack([X, 255 - X]), torch.tensor([1, 0])
    return list(analysis.similarity(source, target, images, labels, [ID, 4], row, batch=3))


def test_similarity_of_linear_models_by_hand():
    # gradients lie along w and v whatever x is: cosine w.v / (|w| |v|) = (1*2 + 0.5*1) / (sqrt(5.25) * sqrt(6))
    v = torch.tensor([2.0, 0.0, 1.0, 1.0]).view(1, 1, 2, 2)
    rows = similarity(linear(), linear(v))
    assert [row[:2] for row in rows] == [(id, m) for id in (ID, 4) for m in (0, 1, 2, 5)]
    assert [row[2] for row in rows] == pytest.approx([2.5 / (5.25 * 6) ** 0.5] * 8, rel=1e-6)


def test_similarity_is_of_the_sources_smoothed_and_the_targets_plain_gradient():
    rows = similarity(quadratic(), linear())
    goal = W[0].double()  # label 1: along -w, as is the source's
    for m in (1, 2, 5):
        found = next(cosine for id, samples, cosine in rows if (id, samples) == (ID, m))
        assert found == pytest.approx(analysis.cosine(by_hand(1, m), -goal), rel=1e-5)
    plain = -(X.double() * goal)
    assert rows[0][2] == pytest.approx(analysis.cosine(plain, -goal), rel=1e-5)


def test_a_source_without_gradient_has_cosine_zero():
    assert [row[2] for row in similarity(constant(), linear())] == [0.0] * 8


# --- planes -----------------------------------------------------------------------------------------


def boundary(**change) -> Boundary:
    values = {"source": "toy", "targets": ["toy"], "image": ID, "samples": 6, "sigma": SIGMA, "sign": False}
    return Boundary.model_validate(values | {"extent": 10.0, "points": 5, "seed": SEED} | change)


def test_directions_are_orthogonal_unit_vectors_that_span_the_gradient():
    along, across = analysis.plane_axes(quadratic(), X, 1, boundary(), batch=4)
    assert along.dtype == across.dtype == torch.float64 and along.shape == across.shape == (1, 2, 2)
    assert float(along.norm()) == pytest.approx(1) == float(across.norm())
    assert abs(float((along * across).sum())) < 1e-9
    assert analysis.cosine(along, by_hand(1, 6)) == pytest.approx(1)
    plain = analysis.plain_gradient(quadratic(), X, 1)
    within = (plain * along).sum() * along + (plain * across).sum() * across
    assert torch.allclose(within, plain, rtol=1e-9, atol=1e-15)
    assert (plain * across).sum() > 0  # h is what smoothing took away from g


def test_directions_as_signs():
    exact = analysis.plane_axes(quadratic(), X, 1, boundary(), batch=4)
    signs = analysis.plane_axes(quadratic(), X, 1, boundary(sign=True), batch=4)
    for one, sign in zip(exact, signs, strict=True):
        assert torch.equal(sign, one.sign())
        assert sign.flatten().abs().tolist() == [1, 1, 1, 0]  # the last pixel does not matter to the model


def test_no_gradient_no_plane():
    with pytest.raises(UserError, match="toy has no gradient at image 17; take another image"):
        analysis.plane_axes(constant(), X, 1, boundary(), batch=4)


def test_a_gradient_that_smoothing_does_not_turn_has_no_plane():
    with pytest.raises(
        UserError, match="the smoothed gradient at image 17 is the gradient itself; take a larger sigma"
    ):
        analysis.plane_axes(linear(), X, 1, boundary(), batch=4)


def test_a_gradient_that_is_not_finite_is_refused():
    broken = Toy(lambda x: x * float("nan"))
    with pytest.raises(UserError, match="a gradient is not finite"):
        analysis.plain_gradient(broken, X, 1)
    with pytest.raises(UserError, match="a gradient is not finite"):
        list(analysis.smoothed_gradients(broken, X, 1, [1], sigma=SIGMA, seed=SEED, id=ID, batch=4))


def test_answers_against_a_loop():
    model = Toy(lambda x: (x - 128) ** 2 * W / 300 - 2)
    axes = tuple(torch.tensor(values).view(1, 2, 2).double() for values in ([1.0, -1, 0.5, 0], [0.0, 2, 1, -1]))
    u, v = np.linspace(-200, 200, 9, dtype=np.float32), np.linspace(-60, 90, 5, dtype=np.float32)
    expected = np.zeros((5, 9), np.int64)
    for i, j in itertools.product(range(5), range(9)):
        x = np.clip(X.numpy() + u[j] * axes[0].numpy() + v[i] * axes[1].numpy(), 0, 255)
        expected[i, j] = ((x - 128) ** 2 * W[0].numpy() / 300 - 2).sum() > 0
    assert 0.1 < expected.mean() < 0.9
    for batch in (1, 7, 100):
        model.batches.clear()
        found = analysis.predicted_plane(model, X, axes, u, v, batch=batch)
        assert found.dtype == np.int64 and found.tolist() == expected.tolist()
        assert sum(model.batches) == 45 and max(model.batches) <= batch


def test_answers_of_a_row_and_a_column():
    # x0 falls along u alone, x1 along v alone; the class says which of four quadrants (u, v) is in
    class Quadrants:
        def __call__(self, x: Tensor) -> Tensor:
            quadrant = (x[:, 0, 0, 0] > 50).long() + 2 * (x[:, 0, 0, 1] > 50).long()
            return torch.nn.functional.one_hot(quadrant, 4).float()

    x = torch.full((1, 1, 2), 50.0)
    axes = torch.tensor([[[1.0, 0.0]]], dtype=torch.float64), torch.tensor([[[0.0, 1.0]]], dtype=torch.float64)
    u, v = np.array([-1.0, 1.0, 2.0]), np.array([-1.0, 1.0])
    assert analysis.predicted_plane(Quadrants(), x, axes, u, v, batch=4).tolist() == [[0, 1, 1], [2, 3, 3]]


@pytest.mark.parametrize(("start", "step", "bound"), [(250.0, 10.0, 255.5), (5.0, -10.0, -0.5)])
def test_answers_are_of_clipped_pixels(start, step, bound):
    """Only beyond 0..255 does the model say 1, so that it never does."""
    sign = 1 if step > 0 else -1
    model = Toy(lambda x: sign * (x - bound))
    x, one = torch.tensor([[[start]]]), torch.ones(1, 1, 1, dtype=torch.float64)
    u = np.array([0.0, step])
    assert analysis.predicted_plane(model, x, (one, one), u, u, batch=4).tolist() == [[0, 0], [0, 0]]
    inside = Toy(lambda x: sign * (x - bound + sign))  # 254.5, or 0.5: the bound itself is reached
    assert analysis.predicted_plane(inside, x, (one, one), u, u, batch=4).tolist() == [[0, 1], [1, 1]]


# --- saliency ---------------------------------------------------------------------------------------


def test_saliency_is_the_gradient_and_its_smoothed_versions():
    row = Saliency(model="toy", images=(ID,), samples=(1, 4, 9), sigma=SIGMA, seed=SEED)
    found = analysis.saliency_gradients(quadratic(), X, 1, ID, row, batch=2)
    assert found.shape == (4, 1, 2, 2) and found.dtype == np.float32
    assert np.array_equal(found[0], analysis.plain_gradient(quadratic(), X, 1).float().numpy())
    for m, one in zip((1, 4, 9), found[1:], strict=True):
        assert np.allclose(one, by_hand(1, m).numpy(), rtol=1e-5, atol=0)


def test_chosen_image():
    images = np.arange(12, dtype=np.uint8).reshape(3, 1, 2, 2)
    assert analysis.image_by_id(images, 2).tolist() == [[[8, 9], [10, 11]]]
    with pytest.raises(UserError, match=r"image 3 is asked, but the data set has ids 0 to 2 \(see data/images.csv\)"):
        analysis.image_by_id(images, 3)
