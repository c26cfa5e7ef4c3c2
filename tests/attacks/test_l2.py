"""`norm: l2`: steps, projection and rounding by hand, trajectories against loops written apart, images in the ball."""

import math
import warnings

import numpy as np
import pytest
import torch
from builders import SEEDED, metadata
from hypothesis import given, settings
from hypothesis import strategies as st
from made_cells import SG, run
from made_evidence import experiment
from pydantic import ValidationError
from torch import Tensor, nn

from crossfool.attacks import compose, fusion, l2
from crossfool.attacks.chunk import Chunk
from crossfool.attacks.config import Attack
from crossfool.attacks.loop import Budget, attack
from crossfool.attacks.sweeps import GridAttack
from crossfool.attacks.updates import _shrinking, sign
from crossfool.errors import UserError
from crossfool.experiment import descriptions, formulas, stage_plans
from crossfool.models.inference.config import Compute
from crossfool.pipeline.crafting import cell_inputs, craft, weights_record
from crossfool.pipeline.evaluation import adversarial_file
from crossfool.storage.tensors import TensorFile, write_tensors

EPSILON, STEP, STEPS, MU = 90.0, 40.0, 5, 0.8
LABELS, TARGETS, IDS = torch.tensor([0, 3, 6, 2]), torch.tensor([1, 1, 0, 5]), [4, 1, 9, 7]
MOMENTUM = {"update": "momentum", "decay": MU}
ROW = {"epsilon": EPSILON, "steps": STEPS, "step_size": STEP, "norm": "l2"}


class Contrast(nn.Module):
    """Pixels 0..1 to values between which the network's gradient turns."""

    def forward(self, x: Tensor) -> Tensor:
        return 16 * x - 8


def made_network(seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = [Contrast(), nn.Conv2d(3, 8, 3, stride=2), nn.Tanh(), nn.Conv2d(8, 8, 3), nn.Tanh(), nn.Flatten()]
        return nn.Sequential(*layers, nn.Linear(8 * 9, 7)).double().eval().requires_grad_(False)


NETWORKS = [made_network(3), made_network(4)]


class DoubleLogits:
    """Logits that stay float64 where a source would make them float32."""

    def __init__(self, logits: Tensor) -> None:
        self.float = lambda: logits


MEMBERS = [lambda x, network=network: DoubleLogits(network(x / 255)) for network in NETWORKS]


@pytest.fixture
def images() -> Tensor:
    return torch.randint(0, 256, (4, 3, 12, 12), generator=torch.Generator().manual_seed(1)).double()


def ours(images: Tensor, members=MEMBERS[:1], **parts: object) -> Tensor:
    """The loop with the parts of a row."""
    row = Attack(**{**ROW, **parts})
    labels = TARGETS if row.targeted else LABELS
    loss = compose.build_source_loss(row, fusion.source_log_probabilities(members, row.fusion), labels, labels)
    return attack(
        compose.build_loss(row, loss, IDS),
        images,
        Budget(row.epsilon, row.steps, row.step_size),
        estimate=compose.build_estimator(row, IDS),
        update=compose.build_update(row, images[0].numel()),
        norm=compose.build_norm(row),
    )


def gradient(x: Tensor, labels: Tensor = LABELS, sign: float = 1.0) -> Tensor:
    """Written apart from the library's."""
    x = x.clone().requires_grad_()
    (sign * nn.functional.cross_entropy(NETWORKS[0](x / 255), labels, reduction="sum")).backward()
    assert x.grad is not None
    return x.grad


def norms(change: Tensor) -> Tensor:
    return (change**2).sum((1, 2, 3), keepdim=True).sqrt()


def moved(x: Tensor, step: Tensor, clean: Tensor) -> Tensor:
    """Step, ball, box, one image after another."""
    new = []
    for image, its_step, its_clean in zip(x, step, clean, strict=True):
        change = image + its_step - its_clean
        length = float((change**2).sum()) ** 0.5
        change = change if length <= EPSILON else change * (EPSILON / length)
        new.append((its_clean + change).clamp(0, 255))
    return torch.stack(new)


def assert_same(found: Tensor, expected: Tensor) -> None:
    assert torch.allclose(found, expected, rtol=0, atol=1e-9)


def image(*pixels: float) -> Tensor:
    return torch.tensor(pixels, dtype=torch.float32).view(1, 1, 1, -1)


def test_a_step_is_the_direction_of_length_one():
    batch = torch.cat([image(3, -4), image(0, 0), image(3e-30, -4e-30)])
    assert torch.allclose(l2.unit_l2(batch), torch.cat([image(0.6, -0.8), image(0, 0), image(0.6, -0.8)]))


def test_the_ball_comes_before_the_box():
    # (30, 40) has length 50 and is scaled to (6, 8); 250 + 8 is then clipped, and nothing makes up for it
    assert torch.allclose(l2.project_l2(image(130, 290), image(100, 250), 10), image(106, 255))
    assert torch.equal(l2.project_l2(image(103, 104), image(100, 100), 10), image(103, 104))


def test_rounding_takes_back_what_it_moved_farthest_first():
    # changes 2.6, -1.5, 0.9 of squares 9.82: rounded 3, -2, 1 of squares 14. The rounding errors away from the clean
    # image are 0.4, 0.5, 0.1: -2 becomes -1 first (squares 11), which is in the ball of 3.4 (11.56).
    x, x_adv = image(100, 100, 100), image(102.6, 98.5, 100.9)
    assert l2.quantise_l2(x_adv, x, 4).tolist() == [[[[103, 98, 101]]]]
    assert l2.quantise_l2(x_adv, x, 3.4).tolist() == [[[[103, 99, 101]]]]
    # in the ball of 3.14 (9.86), 3 becomes 2, too (squares 6), and 1 stays
    assert l2.quantise_l2(x_adv, x, 3.14).tolist() == [[[[102, 99, 101]]]]


def test_an_image_that_is_not_finite_becomes_the_clean_one():
    x_adv = image(float("nan"), 104, float("inf"))
    assert l2.quantise_l2(x_adv, image(100, 100, 7), 5).tolist() == [[[[100, 104, 7]]]]


def test_a_radius_below_one_is_refused():
    with pytest.raises(UserError, match=r"epsilon is 0.5: pixels are 0..255"):
        l2.quantise_l2(image(1), image(1), 0.5)


RADII = st.one_of(st.integers(0, 3000).map(float), st.floats(1, 3000), st.integers(1, 9_000_000).map(math.sqrt))


@settings(SEEDED, max_examples=100)
@given(st.integers(0, 2**32), RADII, st.sampled_from([0.02, 0.6, 3.0, 80.0]), st.booleans(), st.booleans())
def test_stored_images_are_in_the_ball_and_the_box(seed, epsilon, spread, whole, projected):
    """Whatever comes in, in the ball or not; exactly, in whole numbers."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 256, (3, 3, 7, 5), generator=generator).float()
    x_adv = x + spread * torch.randn(x.shape, generator=generator)
    x_adv = l2.project_l2(x_adv.round() if whole else x_adv, x, epsilon) if projected else x_adv
    stored = l2.quantise_l2(x_adv, x, epsilon)
    assert stored.dtype == torch.uint8
    change = stored.long() - x.long()
    squares = (change**2).sum((1, 2, 3))
    limit = int(epsilon**2)  # of a square of whole numbers; whole, since torch compares with a float in float32
    assert all(int(square) <= epsilon**2 for square in squares)
    nearest = x_adv.clamp(0, 255).round().long() - x.long()
    assert ((change == nearest) | (change.abs() < nearest.abs())).all() and (change * nearest >= 0).all()
    inside = (nearest**2).sum((1, 2, 3)) <= limit
    assert torch.equal(change[inside], nearest[inside])  # nothing is taken back without need
    if projected:
        assert (change.abs() - nearest.abs()).min() >= -1
        tight = squares + (2 * change.abs() + 1).flatten(1).max(1).values > limit
        assert (tight | inside).all()  # nor more than is needed: the last value taken back would leave the ball


def test_fgm_is_one_step(images):
    found = gradient(images)
    expected = moved(images, EPSILON * found / norms(found), images)
    assert_same(ours(images, steps=1, step_size=EPSILON), expected)


def test_igsm_is_its_papers_loop(images):
    x, inside = images, False
    for _ in range(STEPS):
        found = gradient(x)
        inside = inside or bool((norms(x + STEP * found / norms(found) - images) < EPSILON).any())
        x = moved(x, STEP * found / norms(found), images)
    assert_same(ours(images), x)
    assert inside and (norms(x - images) > EPSILON - 5).all()  # some steps are cut, and some are not


def test_targeted_descends_the_loss_of_the_target(images):
    x = images
    for _ in range(STEPS):
        found = gradient(x, TARGETS, -1.0)
        x = moved(x, STEP * found / norms(found), images)
    assert_same(ours(images, objective="targeted"), x)


def test_momentum_sums_gradients_over_their_l1_norm(images):
    x, g = images, torch.zeros_like(images)
    for _ in range(STEPS):
        found = gradient(x)
        g = MU * g + found / found.abs().sum((1, 2, 3), keepdim=True)
        x = moved(x, STEP * g / norms(g), images)
    assert_same(ours(images, **MOMENTUM), x)
    assert not torch.allclose(ours(images), x, atol=1)


def test_nesterov_looks_ahead_by_the_length_of_a_step(images):
    x, g, count = images, torch.zeros_like(images), images[0].numel()
    for _ in range(STEPS):
        found = gradient(x + STEP * MU * math.sqrt(count) * g)
        g = MU * g + found / found.abs().sum((1, 2, 3), keepdim=True)
        x = moved(x, STEP * g / norms(g), images)
    assert_same(ours(images, update="nesterov", decay=MU), x)


def test_an_ensembles_loss_is_its_members_mean(images):
    x = images
    for _ in range(STEPS):
        y = x.clone().requires_grad_()
        sum(nn.functional.cross_entropy(network(y / 255), LABELS, reduction="sum") for network in NETWORKS).backward()
        x = moved(x, STEP * y.grad / norms(y.grad), images)
    assert_same(ours(images, MEMBERS, fusion="losses"), x)


def test_steps_that_shrink_do_so_for_each_value_of_the_normalised_step():
    # the second gradient has another sign in its first value: 0.94 of that value's step; the first change is from 0
    given = iter([image(3, 4), image(-3, 4)])
    x_adv = attack(
        lambda x: x.sum(), image(100, 100), Budget(99, 2, 10), estimate=lambda loss, x: next(given),
        update=_shrinking.shrinking_steps(sign.sign, 0.94), norm=l2.NORM,
    )  # fmt: skip
    assert torch.allclose(x_adv, image(106 - 0.94 * 6, 116))


def test_deterministic_pgd_is_torchattacks(images):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torchattacks = pytest.importorskip("torchattacks")
    arguments = {"eps": EPSILON / 255, "alpha": STEP / 255, "steps": STEPS, "random_start": False}
    theirs = torchattacks.PGDL2(NETWORKS[0], **arguments)(images / 255, LABELS)
    assert torch.allclose(255 * theirs, ours(images), rtol=0, atol=1e-5)  # they add 1e-10 to a gradient's norm


def crafted(row: dict, images: Tensor, ids=IDS) -> dict[str, Tensor]:
    places = [IDS.index(one) for one in ids]
    chunk = Chunk(images.to(torch.uint8), LABELS[places], TARGETS[places], ids)
    members = [lambda x: NETWORKS[0](x.double() / 255).float()]
    return craft.craft(members, Attack(**row), chunk)[0]


def test_snapshots_are_what_shorter_runs_give(images):
    row = {**ROW, **MOMENTUM}
    made = crafted({**row, "record_steps": [2, 3], "quantisation": True}, images)
    for place, steps in enumerate([2, 3]):
        assert torch.equal(made["takes"][:, place], crafted({**row, "steps": steps}, images)["images"])
    assert torch.equal(made["images"], crafted(row, images)["images"])
    assert torch.equal(made["images"], l2.quantise_l2(made["floats"], images.float(), EPSILON))


@pytest.mark.parametrize("parts", [MOMENTUM, {"update": "nesterov", "decay": MU}])
def test_an_images_batch_does_not_matter(images, parts):
    whole = crafted({**ROW, **parts}, images)["images"]
    for some in ([2], [3, 1], [3, 2, 1, 0]):
        found = crafted({**ROW, **parts}, images[some], [IDS[place] for place in some])["images"]
        assert (found.int() - whole[some].int()).abs().max() <= 1  # the network may round otherwise in another batch


@pytest.mark.parametrize("parts", [{}, MOMENTUM, {"gradient": "relevant", "samples": 2, "radius": 20.0}])
def test_linf_is_the_row_without_the_key(images, parts):
    row = {"epsilon": 9.0, "steps": 4, "step_size": 2.5, **parts}
    with_key, without = Attack(**row, norm="linf"), Attack(**row)
    assert with_key == without and "norm" not in without.model_dump_json(exclude_none=True)
    assert torch.equal(crafted({**row, "norm": "linf"}, images)["images"], crafted(row, images)["images"])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"epsilon": 300, "steps": 1, "step_size": 300}, "less than or equal to 255"),
        ({"epsilon": 300, "steps": 1, "step_size": 300, "norm": "linf"}, "less than or equal to 255"),
        ({**ROW, "norm": "l1"}, "'linf' or 'l2'"),
        ({**ROW, "epsilon": 0.5}, "less than one pixel value is lost; did you mean 127.5"),
        ({"method": "torchattack/MIFGSM", "epsilon": 16, "norm": "l2"}, "norm is not used with method"),
    ],
)
def test_what_makes_no_sense_is_refused(row, message):
    with pytest.raises(ValidationError, match=message):
        Attack(**row)


def test_grids_are_in_linf_alone():
    with pytest.raises(ValidationError, match="norm"):
        GridAttack(norm="l2")


def test_a_row_says_its_norm():
    row = Attack(**ROW, update="nesterov", decay=MU)
    assert descriptions.attack_summary(row).endswith("T = 5 steps of α = 40, ε = 90 in L2")
    found = dict(formulas.update_facts(row, 1))
    assert found["look"] == "yₜ = xₜ + 40/√n · 0.8 · n gₜ, n the image's number of values"
    assert found["step"] == (
        "xₜ₊₁ = xₜ + 40 · gₜ₊₁ / ‖gₜ₊₁‖₂, scaled to ‖x − x₀‖₂ ≤ 90, then clipped to [0, 255]; 5 times: t = 0 … 4"
    )
    assert found["stored"] == "rounded, toward x₀ where else ‖x − x₀‖₂ > 90"
    assert "L2 ball" in formulas.parameter_meanings(row)["epsilon"]
    linf = Attack(epsilon=9.0, steps=4, step_size=2.5)
    assert "L2" not in descriptions.attack_summary(linf) and "L∞" in formulas.parameter_meanings(linf)["epsilon"]
    assert not row.whole and row.has_later_parts and not linf.has_later_parts


def test_the_plans_of_rows_in_l2_alone_name_its_module():
    attacks = {"linf": {"epsilon": 9.0, "steps": 1, "step_size": 9.0}, "l2": ROW}
    plans = {name: stage_plans.craft(experiment(["fnn0", "fnn2"], ["fnn0"], attacks), name) for name in attacks}
    code = {name: set(plan.content()["code"]) for name, plan in plans.items()}
    assert code["l2"] == {*code["linf"], "attacks.l2"} and "attacks.l2" not in code["linf"]


def test_files_are_checked_in_their_norm(tmp_path, subset, fnn_weights):
    row = Attack(**{**SG, "epsilon": 60, "step_size": 25, "norm": "l2", "quantisation": True, "record_steps": [1]})
    one = cell_inputs.Cell(weights_record.make_record("fnn2", fnn_weights), "a", row, Compute(chunk=4), subset)
    out = run(one, fnn_weights, tmp_path / "out.safetensors")
    file, clean = TensorFile(out), TensorFile(subset)["images"].astype(int)
    images = adversarial_file.read_adversarial(out, subset, "fnn2", row)
    distance = np.sqrt(((images - clean) ** 2).sum((1, 2, 3)))
    assert (distance <= 60).all() and distance.min() > 50
    assert len(list(adversarial_file.read_snapshots(out, subset, row))) == 1
    assert adversarial_file.read_floats(out, subset, row).dtype == np.float32
    about = {key: value for key, value in metadata(out).items() if key != "sha256"}
    tensors = {name: np.array(file[name]) for name in file.names()}
    place = np.unravel_index(np.abs(images - clean).argmax(), images.shape)
    for name, value, read in (
        ("images", 255 - clean[place], adversarial_file.read_adversarial),
        ("takes", 0, lambda *arguments: list(adversarial_file.read_snapshots(*arguments[:2], row))),
        ("floats", 999, lambda *arguments: adversarial_file.read_floats(*arguments[:2], row)),
    ):
        forged = {**tensors, name: tensors[name].copy()}
        forged[name][place[0]] = value
        write_tensors(out, forged, about)
        with pytest.raises(UserError, match="from its clean one, more than its epsilon 60"):
            read(out, subset, "fnn2", row)
    nearer = tensors["images"].copy()
    nearer[place] = clean[place]
    write_tensors(out, {**tensors, "images": nearer}, about)
    with pytest.raises(UserError, match="images are not its floats, rounded"):
        adversarial_file.read_floats(out, subset, row)
