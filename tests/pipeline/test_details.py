"""Takes of a cell (recorded steps, seeds, floats) and details of it, against cells of their own and by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from builders import metadata
from made_cells import SG, run
from pydantic import ValidationError
from scipy.ndimage import gaussian_filter1d

from crossfool.attacks.config import Attack
from crossfool.datasets.preparation.config import Subset
from crossfool.errors import UserError
from crossfool.models.inference.config import Compute
from crossfool.pipeline import subset as pipeline_subset
from crossfool.pipeline.crafting import cell_inputs, weights_record
from crossfool.pipeline.evaluation import adversarial_file, detail_metrics, perturbation, success
from crossfool.pipeline.evaluation.predictions_file import write_clean
from crossfool.storage.hashing import sha256
from crossfool.storage.tensors import TensorFile, write_tensors

TAKES = {**SG, "step_size": 6.5, "record_steps": [1, 2], "seeds": [3, 5, 8], "quantisation": True}
ALONE = {key: value for key, value in TAKES.items() if key not in ("record_steps", "seeds", "quantisation")}


def made(subset: Path, weights: Path, out: Path, row: dict, source: str = "fnn2", chunk: int = 4) -> Path:
    one = cell_inputs.Cell(
        weights_record.make_record(source, weights), "a", Attack(**row), Compute(chunk=chunk), subset
    )
    return run(one, weights, out)


@pytest.fixture
def taken(tmp_path, subset, fnn_weights) -> Path:
    return made(subset, fnn_weights, tmp_path / "taken.safetensors", TAKES)


def test_takes_are_what_cells_of_their_own_give(tmp_path, subset, fnn_weights, taken):
    file, row = TensorFile(taken), Attack(**TAKES)
    assert row.snapshots == ((3, 1), (3, 2), (5, 3), (8, 3))
    assert json.loads(metadata(taken)["takes"]) == [{"seed": seed, "step": step} for seed, step in row.snapshots]
    assert np.array_equal(adversarial_file.read_adversarial(taken, subset, "fnn2", row), file["images"])
    found = dict(adversarial_file.read_snapshots(taken, subset, row))
    found[3, 3] = file["images"]
    for (seed, step), images in found.items():
        alone = made(
            subset, fnn_weights, tmp_path / f"{seed}{step}.safetensors", {**ALONE, "seed": seed, "steps": step}
        )
        assert np.array_equal(TensorFile(alone)["images"], images), (seed, step)
    assert len({images.tobytes() for images in found.values()}) == 5
    floats = adversarial_file.read_floats(taken, subset, row)
    assert np.array_equal(np.rint(floats).astype(np.uint8), file["images"]) and (floats % 1 != 0).any()


def test_nothing_asked_for_leaves_the_file_as_it_was(tmp_path, subset, fnn_weights):
    path = made(subset, fnn_weights, tmp_path / "out.safetensors", SG)
    assert TensorFile(path).names() == ["images"] and "takes" not in metadata(path)
    assert list(adversarial_file.read_snapshots(path, subset, Attack(**SG))) == []


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "takes",
            lambda takes: takes[:, :2],
            r"takes are uint8 \(11, 2, 1, 28, 28\), expected uint8 \(11, 4, 1, 28, 28\)",
        ),
        ("takes", lambda takes: 255 - takes, "more than its epsilon 15"),
        ("floats", lambda floats: floats.astype(np.uint8), "floats are uint8 .*, expected float32"),
        ("floats", lambda floats: floats + 2, "more than its epsilon 15"),
        (
            "floats",
            lambda floats: np.where(floats == floats.max(), np.nan, floats),
            "an image is nan from its clean one",
        ),
    ],
)
def test_forged_takes_are_refused(subset, taken, name, change, message):
    file, row = TensorFile(taken), Attack(**TAKES)
    tensors = {one: np.array(file[one]) for one in file.names()}
    tensors[name] = change(tensors[name])
    about = {key: value for key, value in metadata(taken).items() if key != "sha256"}
    write_tensors(taken, tensors, about)
    adversarial_file.read_adversarial(taken, subset, "fnn2", row)
    with pytest.raises(UserError, match=message):
        list(adversarial_file.read_snapshots(taken, subset, row)), adversarial_file.read_floats(taken, subset, row)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"record_steps": [2, 1]}, r"is \[2, 1\], expected rising numbers up to steps, 3, and one"),
        ({"record_steps": [3]}, r"is \[3\], expected rising numbers up to steps, 3, and one"),
        ({"record_steps": []}, r"is \[\], expected rising"),
        ({"seeds": [1]}, r"seeds are \[1\], expected two or more that differ"),
        ({"seeds": [1, 1]}, r"seeds are \[1, 1\], expected two or more that differ"),
        ({"seeds": [0, 1], "seed": 0}, "seed and seeds are both given"),
        ({"seeds": [0, 1], "gradient": "plain", "samples": None, "sigma": None}, "nothing is drawn at random here"),
        ({"quantisation": True, "step_size": 6}, "every image is of whole numbers already"),
    ],
)
def test_takes_that_make_no_sense_are_refused(change, message):
    row = {key: value for key, value in {**ALONE, **change}.items() if value is not None}
    with pytest.raises(ValidationError, match=message):
        Attack(**row)


def test_images_that_are_not_their_floats_rounded_are_refused(subset, taken):
    file, row = TensorFile(taken), Attack(**TAKES)
    tensors = {one: np.array(file[one]) for one in file.names()}
    place = np.unravel_index(tensors["floats"].argmax(), tensors["floats"].shape)
    tensors["images"][place] -= 1
    write_tensors(taken, tensors, {key: value for key, value in metadata(taken).items() if key != "sha256"})
    with pytest.raises(UserError, match="images are not its floats, rounded; delete it"):
        adversarial_file.read_floats(taken, subset, row)


def test_steps_that_shrink_leave_fractions(tmp_path, subset, fnn_weights):
    row = {**ALONE, "step_size": 6, "gradient": "relevant", "radius": 10, "quantisation": True, "steps": 4}
    del row["sigma"]
    one = Attack(**row)
    assert not one.whole and Attack(epsilon=16, steps=2, step_size=4).whole
    floats = adversarial_file.read_floats(made(subset, fnn_weights, tmp_path / "out.safetensors", row), subset, one)
    assert (floats % 1 != 0).any()


def test_cost_counts_every_seed():
    row = Attack(**TAKES)
    assert (row.gradient_evaluations_per_seed, row.gradient_evaluations) == (12, 36)


def answers(images: np.ndarray) -> dict[str, np.ndarray]:
    """Made answers of two models, which depend on the very values."""
    first = np.floor(images.astype(float).sum((1, 2, 3)) * 4).astype(np.int64)
    top = (first[:, None] // 3 + np.arange(5)) % 10
    return {"fnn0": top, "fnn2": (top + 4) % 10}


def other_answers(path: Path, subset: Path, row: Attack) -> dict:
    return {name: answers(images) for name, images in detail_metrics.other_images(path, subset, row).items()}


def rates(top: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    wrong = 100 * np.mean(top[:, 0] != labels)
    return {"top1": round(wrong, 4), "top5": round(100 * np.mean((top != labels[:, None]).all(1)), 4), "n": len(labels)}


def test_details_by_hand(subset, taken):
    row, clean, file = Attack(**TAKES), TensorFile(subset), TensorFile(taken)
    labels, images, takes = np.array(clean["labels"]), np.array(file["images"]), np.array(file["takes"])
    others = other_answers(taken, subset, row)
    found = detail_metrics.cell_details(taken, subset, row, answers(images), others)
    by_take = {take: takes[:, place] for place, take in enumerate(row.snapshots)} | {(3, 3): images}

    def same(given: dict, images: np.ndarray, model: str) -> None:
        wanted = rates(answers(images)[model], labels)
        assert {key: given[key] for key in wanted} == wanted and "whitebox" not in given

    assert found["gradients"] == 12 and found["denominators"] == {}
    for model in ("fnn0", "fnn2"):
        steps = found["steps"][model]
        assert [(step, one["gradients"]) for step, one in steps.items()] == [("1", 4), ("2", 8), ("3", 12)]
        for step, one in steps.items():
            same(one, by_take[3, int(step)], model)
        seeds = found["seeds"][model]
        assert list(seeds["rates"]) == ["3", "5", "8"]
        for seed, one in seeds["rates"].items():
            same(one, by_take[int(seed), 3], model)
        tops = [one["top1"] for one in seeds["rates"].values()]
        assert seeds["top1_mean"] == pytest.approx(np.mean(tops), abs=1e-4)
        assert seeds["top1_deviation"] == pytest.approx(np.std(tops, ddof=1), abs=1e-4)
        ways, floats = found["quantisation"][model], np.array(file["floats"])
        same(ways["float"], floats, model)
        same(ways["rounded"], images, model)
        same(ways["truncated"], np.trunc(floats).astype(np.uint8), model)
    change = images.astype(float) - clean["images"]
    size = found["size"]
    assert size["l2"] == pytest.approx(np.sqrt((change**2).sum((1, 2, 3))).mean(), abs=1e-4)
    assert (size["linf"], size["n"]) == (15, 11) and size["mean_abs"] == pytest.approx(np.abs(change).mean(), abs=1e-4)


def structural(x: np.ndarray, y: np.ndarray) -> float:
    """SSIM of two images (C,H,W) as Wang et al. 2004 have it, where the window of 11 pixels is whole; by scipy."""

    def mean(image: np.ndarray) -> np.ndarray:
        for axis in (1, 2):
            image = gaussian_filter1d(image, 1.5, axis, radius=5)
        return image[:, 5:-5, 5:-5]

    a, b = mean(x), mean(y)
    variances, both = mean(x * x) - a * a + mean(y * y) - b * b, mean(x * y) - a * b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return float((((2 * a * b + c1) * (2 * both + c2)) / ((a * a + b * b + c1) * (variances + c2))).mean())


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)])
def test_structural_similarity_is_wangs(shape):
    draw = np.random.default_rng(0)
    clean = draw.integers(0, 256, (3, *shape), np.uint8)
    images = np.clip(clean.astype(int) + draw.integers(-20, 21, clean.shape), 0, 255).astype(np.uint8)
    found = perturbation.structural_similarity(images, clean)
    wanted = [structural(x, y) for x, y in zip(images.astype(float), clean.astype(float), strict=True)]
    assert found == pytest.approx(wanted, abs=1e-5)  # to be rounded to four decimals
    assert perturbation.structural_similarity(clean, clean) == pytest.approx(1, abs=1e-6)


def test_denominators_by_hand(tmp_path, subset, fnn_weights):
    file = TensorFile(subset)
    right = np.array([[1, 1]] * 4 + [[1, 0]] * 3 + [[0, 1]] * 2 + [[0, 0]] * 2, np.uint8)
    tensors = {name: np.array(file[name]) for name in file.names()} | {"right": right}
    write_tensors(subset, tensors, {"dataset": "made", "family": "mnist", "classes": "10", "models": "fnn0,fnn2"})
    path = made(subset, fnn_weights, tmp_path / "out.safetensors", SG)
    labels, top = tensors["labels"], answers(np.array(TensorFile(path)["images"]))
    found = detail_metrics.cell_details(path, subset, Attack(**SG), top, {})["denominators"]
    for place, model in enumerate(("fnn0", "fnn2")):
        own = right[:, place] == 1
        for name, some in (("all", own | True), ("target_right", own), ("all_right", right.all(1))):
            wanted = rates(top[model][some], labels[some])
            assert {key: found[model][name][key] for key in wanted} == wanted
        assert found[model]["clean_error"] == round(100 * (1 - own.mean()), 4)


def test_a_subset_of_all_images_says_who_is_right(tmp_path):
    labels, draw = np.arange(6) % 3, np.random.default_rng(0)
    top = {"a": np.tile(np.arange(5), (6, 1)), "b": np.tile(np.arange(5), (6, 1))}
    top["a"][:, 0], top["b"][:, 0] = labels, [0, 1, 0, 0, 0, 0]
    for model, one in top.items():
        write_clean(tmp_path / f"{model}.parquet", one, labels)
    right = pipeline_subset.correct_by_model(tmp_path, ("a", "b"))
    assert right.T.tolist() == [[True] * 6, [True, True, False, True, False, False]]
    every, correct = (Subset(images="all", of=of) for of in ("all", "correct"))
    assert pipeline_subset.candidate_ids(right, correct).tolist() == [0, 1, 3]
    assert pipeline_subset.candidate_ids(right, every).tolist() == [0, 1, 2, 3, 4, 5]
    with pytest.raises(UserError, match="7 asked, but the data set has 6"):
        pipeline_subset.draw_ids(pipeline_subset.candidate_ids(right, every), Subset(images=7, of="all"))
    images = {"images": draw.integers(0, 256, (6, 1, 4, 4), np.uint8), "labels": labels}
    write_tensors(tmp_path / "images.safetensors", images, {"dataset": "made", "family": "mnist", "classes": "3"})
    (tmp_path / "images.csv").write_text("id,label,file\n" + "".join(f"{i},{i % 3},x\n" for i in range(6)))
    given = TensorFile(tmp_path / "images.safetensors"), tmp_path / "images.csv", every, tmp_path
    for kept, where in ((None, "no"), (dict(zip("ab", right.T, strict=True)), "yes")):
        pipeline_subset.write_subset(np.array([1, 2, 5]), *given[:3], tmp_path / where, kept)
    assert "right" not in TensorFile(tmp_path / "no/images.safetensors")
    found = TensorFile(tmp_path / "yes/images.safetensors")
    assert found["right"].tolist() == [[1, 1], [1, 0], [1, 0]] and found.metadata["models"] == "a,b"


def test_only_who_was_right_can_be_fooled_and_won_back():
    labels = np.zeros(4, np.int64)
    before = {"a": np.array([[1], [1], [0], [1]])}
    after = {("a", "jpeg", 50.0): np.array([0, 0, 0, 1])}
    right = {"a": np.array([True, False, True, True])}
    assert success.destruction_rates(before, after, labels)["a"]["jpeg"]["50"]["n"] == 3
    found = success.destruction_rates(before, after, labels, right)["a"]["jpeg"]["50"]
    assert (found["n"], found["rate"]) == (2, 50.0)


def test_a_weights_file_that_does_not_say_whose_it_is_is_one_line(fnn_weights):
    fingerprint, path = weights_record.make_record("fnn0", fnn_weights), fnn_weights / "fnn0.safetensors"
    file = TensorFile(path)
    write_tensors(path, {name: np.array(file[name]) for name in file.names()})
    with pytest.raises(UserError, match=r"is not the file that sources/fnn0\.json names"):
        weights_record.verified_paths(fingerprint, fnn_weights)
    with pytest.raises(UserError, match="its metadata lacks 'model'"):
        weights_record.make_record("fnn0", fnn_weights)
    assert fingerprint["members"]["fnn0"]["sha256"] != sha256(path)
