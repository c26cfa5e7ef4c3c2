"""Input defences, each against a computation written apart, and models behind them: draws, votes, weights, mistakes."""

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from crossfool import seeds
from crossfool.errors import UserError
from crossfool.experiment import fingerprint
from crossfool.models import build, defence_files, defended_models, network_files, weights_file
from crossfool.models.defences import bit_depth, jpeg, median, resize_pad
from crossfool.models.defended_models import DefendedModel
from crossfool.models.defended_network import Defended, ranks
from crossfool.models.inference import pixel_model
from crossfool.models.inference.config import Compute
from crossfool.models.weights import model_description, registry
from crossfool.models.weights.defended_weights import write_defended_weights
from crossfool.storage.tensors import TensorFile

CPU = torch.device("cpu")
ROWS: dict[str, dict[str, Any]] = {
    "jpeg": {"jpeg": 50},
    "bit_depth": {"bit_depth": 2},
    "median": {"median": 3},
    "resize_pad": {"resize_pad": 33, "draws": 2},
    "noise": {"noise": 40, "draws": 5, "seed": 3},
}


def pixels(*shape: int) -> Tensor:
    return torch.randint(256, shape, generator=torch.Generator().manual_seed(1)).float()


def unused() -> torch.Generator:
    return torch.Generator()


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget the models that a test has registered."""
    monkeypatch.setattr(defended_models, "_registered", {})
    monkeypatch.setenv("_CROSSFOOL_DEFENDED_MODELS", "[]")
    yield


def written(
    weights: Path, model: str, side: int = 28, compute: Compute | None = None, **row: Any
) -> pixel_model.PixelModel:
    """The model `guarded`, behind a defence, by way of its weights file."""
    section = {"guarded": DefendedModel.model_validate({"model": model, **row})}
    defended_models.register(section, registry.spec, side)
    write_defended_weights(registry.spec("guarded"), weights / f"{model}.safetensors", weights / "guarded.safetensors")
    return pixel_model.load(weights / "guarded.safetensors", device=CPU, compute=compute or pixel_model.EXACT)


def network_of(model: pixel_model.PixelModel) -> Defended:
    assert isinstance(model.network, Defended)
    return model.network


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_pillows_file(channels: int) -> None:
    image = pixels(channels, 17, 24)
    array = image.byte().permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(array[..., 0] if channels == 1 else array, "L" if channels == 1 else "RGB").save(
        file, format="JPEG", quality=30, subsampling=2
    )
    expected = np.asarray(Image.open(io.BytesIO(file.getvalue()))).reshape(17, 24, channels).transpose(2, 0, 1)
    found = jpeg.defend(image, 30, unused())
    assert np.array_equal(found.numpy(), expected) and not torch.equal(found, image)
    assert torch.equal(
        jpeg.defend(image.clamp(1, 254) + 0.4, 30, unused()), jpeg.defend(image.clamp(1, 254), 30, unused())
    )


def test_bit_depth_by_hand() -> None:
    image = torch.tensor([0.0, 42, 43, 100, 127, 128, 255]).view(1, 1, 7)
    assert bit_depth.defend(image, 1, unused()).flatten().tolist() == [0, 0, 0, 0, 0, 255, 255]
    assert bit_depth.defend(image, 2, unused()).flatten().tolist() == [0, 0, 85, 85, 85, 170, 255]


def test_median_by_loops() -> None:
    image = pixels(2, 5, 6)
    mirrored = np.pad(image.numpy(), ((0, 0), (1, 1), (1, 1)), "symmetric")
    found = {k: median.defend(image, k, unused()) for k in (2, 3)}
    for channel, row, column in np.ndindex(2, 5, 6):
        window = mirrored[channel, row : row + 3, column : column + 3]
        assert found[3][channel, row, column] == np.median(window)
        assert found[2][channel, row, column] == np.sort(window[:2, :2], axis=None)[2]


def test_resized_and_padded_by_loops() -> None:
    image, sides, places = pixels(3, 8, 8), set(), set()
    for seed in range(60):
        found = resize_pad.defend(image, 11, torch.Generator().manual_seed(seed))
        assert found.shape == (3, 11, 11)
        inside = (found != 127.5).all(0).nonzero()
        (top, left), (bottom, right) = inside.min(0).values.tolist(), inside.max(0).values.tolist()
        side = bottom - top + 1
        assert right - left + 1 == side and len(inside) == side**2
        for row, column in np.ndindex(side, side):
            assert torch.equal(found[:, top + row, left + column], image[:, row * 8 // side, column * 8 // side])
        sides.add(side)
        places.add((side, top, left))
    assert sides == {8, 9, 10}
    assert {(top, left) for side, top, left in places if side == 10} == {(0, 0), (0, 1), (1, 0), (1, 1)}


@pytest.mark.parametrize("defence", ROWS)
def test_logits_are_the_plain_models_for_defended_pixels(fnn_weights: Path, defence: str) -> None:
    """Votes and means are counted by loops, on the plain model's logits."""
    guarded = written(fnn_weights, "fnn2", **ROWS[defence])
    plain = pixel_model.load(fnn_weights / "fnn2.safetensors", device=CPU)
    images = pixels(4, 1, 28, 28)
    found = guarded(images).double()
    draws = [plain(network_of(guarded).defend(images, draw)).double() for draw in range(ROWS[defence].get("draws", 1))]
    assert len({draw.argmax().item() for draw in draws}) == 1 or defence in ("noise", "resize_pad")
    if defence in ("jpeg", "bit_depth", "median"):
        assert torch.equal(found, draws[0]) and not torch.equal(found, plain(images).double())
        return
    mean = torch.stack([logits.exp() / logits.exp().sum(1, keepdim=True) for logits in draws]).mean(0)
    if defence == "resize_pad":
        torch.testing.assert_close(found.exp(), mean, rtol=1e-4, atol=1e-6)
        return
    for place in range(4):
        votes = [sum(int(logits[place].argmax()) == label for logits in draws) for label in range(10)]
        order = sorted(range(10), key=lambda label: (-votes[label], -float(mean[place, label])))
        assert found[place].argsort(descending=True).tolist() == order
        assert sorted(found[place].tolist()) == list(range(1, 11))


def test_ranks_go_by_votes_then_by_probability() -> None:
    votes = torch.tensor([[0, 2, 2, 1], [0, 0, 0, 5]])
    total = torch.tensor([[-1.0, -3.0, -2.0, -0.1], [-900.0, -1000.0, -800.0, 0.0]])
    assert ranks(votes, total).tolist() == [[1, 3, 4, 2], [2, 1, 3, 4]]
    assert ranks(votes[:1], total[:1] * torch.nan).isnan().all()


@pytest.mark.parametrize("defence", ROWS)
def test_neither_batch_nor_order_matters(fnn_weights: Path, defence: str) -> None:
    guarded, images = written(fnn_weights, "fnn0", **ROWS[defence]), pixels(6, 1, 28, 28)
    network, order = network_of(guarded), [4, 0, 5, 2, 1, 3]
    together = network.defend(images, 1)
    assert torch.equal(network.defend(images[order], 1), together[order])
    assert torch.equal(torch.cat([network.defend(image, 1) for image in images.split(1)]), together)
    torch.testing.assert_close(guarded(images[order]), guarded(images)[order])
    assert torch.equal(network.defend(images, 1), together)  # nor how often
    changes = not torch.equal(network.defend(images, 0), together)
    assert changes == bool(defence_files.find_defence(defence).combine)


def test_noise_is_drawn_by_seed_image_and_draw(fnn_weights: Path) -> None:
    network, images = network_of(written(fnn_weights, "fnn0", **ROWS["noise"])), pixels(2, 1, 28, 28)
    found = network.defend(images, 4)
    for image, noisy in zip(images, found, strict=True):
        digest = hashlib.blake2b(image.numpy().astype("<f4").tobytes(), digest_size=8).digest()
        generator = torch.Generator().manual_seed(seeds.derive_seed(3, int.from_bytes(digest, "little") >> 1, 4))
        assert torch.equal(noisy, image + 40 * torch.randn(1, 28, 28, generator=generator))
    other = network_of(written(fnn_weights, "fnn0", **{**ROWS["noise"], "seed": 4}))
    assert not torch.equal(other.defend(images, 4), found)
    assert 38 < float((found - images).std()) < 42 and abs(float((found - images).mean())) < 4


@pytest.mark.parametrize(("name", "library_side"), [("resnet20", 32), ("squeezenet1_1", 224)])
def test_a_convolutional_network_computes_as_without_a_defence(tmp_path: Path, name: str, library_side: int) -> None:
    """To the bit, batch normalisation folded in both; and with the normalisation that its weights file has."""
    spec = registry.spec(name)
    torch.manual_seed(0)
    network = build.build(name, spec.library)
    about = model_description.describe(spec, network) | {"mean": [100.0, 110.0, 120.0], "file_sha256": "ab"}
    weights_file.write_weights(tmp_path / f"{name}.safetensors", network.state_dict(), about)
    plain = pixel_model.load(tmp_path / f"{name}.safetensors", device=CPU)
    assert spec.side == library_side
    guarded = written(tmp_path, name, side=40, jpeg=60)
    images = pixels(2, 3, 40, 40)
    with torch.inference_mode():
        compressed = torch.stack([jpeg.defend(image, 60, unused()) for image in images])
        assert torch.equal(guarded(images), plain(compressed.contiguous(memory_format=torch.channels_last)))
    description = TensorFile(tmp_path / "guarded.safetensors").metadata_object("model")
    assert (description["side"], description["mean"], description["std"]) == (40, [0, 0, 0], [1, 1, 1])
    assert (description["model"], description["defence"]) == (name, f"{name} behind JPEG of quality 60")
    assert (description["file_sha256"], description["published_top1"]) == ("ab", None)
    assert description["parameters"] == about["parameters"]


def test_bfloat16_reaches_the_plain_model(fnn_weights: Path) -> None:
    images, row = pixels(3, 1, 28, 28), {"bit_depth": 7}
    compute = Compute(precision="bfloat16", chunk=1)
    half = written(fnn_weights, "fnn2", compute=compute, **row)(images)
    plain = pixel_model.load(fnn_weights / "fnn2.safetensors", device=CPU, compute=compute)
    assert torch.equal(half, plain(torch.stack([bit_depth.defend(image, 7, unused()) for image in images])))
    pixel_model.configure("float32")
    assert not torch.equal(half, written(fnn_weights, "fnn2", **row)(images))


def test_a_compiled_model_computes_the_same(fnn_weights: Path) -> None:
    images = pixels(3, 1, 28, 28)
    found = written(fnn_weights, "fnn2", compute=Compute(compile=True, chunk=1), **ROWS["noise"])(images)
    assert torch.equal(found, written(fnn_weights, "fnn2", **ROWS["noise"])(images))


def test_no_gradient_is_taken_through_a_defence(fnn_weights: Path) -> None:
    guarded = written(fnn_weights, "fnn0", jpeg=75)
    with pytest.raises(UserError, match="guarded has a defence, which has no gradient; attack fnn0"):
        guarded(pixels(1, 1, 28, 28).requires_grad_())


def test_a_logit_that_is_not_finite_stays_so(fnn_weights: Path) -> None:
    for row in (ROWS["noise"], ROWS["resize_pad"]):
        guarded = written(fnn_weights, "fnn0", **row)
        next(guarded.network.network.parameters()).fill_(torch.nan)
        assert guarded(pixels(2, 1, 28, 28)).isnan().any(1).all()


def test_a_worker_process_knows_what_its_parent_does(fnn_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(fnn_weights, "fnn0", **ROWS["noise"])
    before = defended_models.find_defended("guarded")
    assert before is not None
    assert before.summary == "fnn0 behind Gaussian noise of σ = 40, majority vote over 5 draws (seed 3)"
    monkeypatch.setattr(defended_models, "_registered", {})
    assert defended_models.find_defended("guarded") is None
    defended_models._inherit()
    assert defended_models.find_defended(before.key) == before


def test_weights_of_another_defence_are_refused(fnn_weights: Path) -> None:
    written(fnn_weights, "fnn0", jpeg=75)
    defended_models.register(
        {"guarded": DefendedModel.model_validate({"model": "fnn0", "jpeg": 74})}, registry.spec, 28
    )
    with pytest.raises(UserError, match=r"is not of the zoo's guarded; delete it and run `dvc repro`"):
        pixel_model.load(fnn_weights / "guarded.safetensors", device=CPU)


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({}, "has no defence, expected one of bit_depth, jpeg, median, noise, resize_pad"),
    ({"jpeg": 75, "median": 3}, "has jpeg and median, expected one of bit_depth"),
    ({"jpg": 75}, "unknown key 'jpg'; did you mean jpeg?"),
    ({"jpeg": 0}, "jpeg is 0, out of range 1 to 100 (quality)"),
    ({"jpeg": 75.5}, "jpeg is 75.5, expected a whole number (quality)"),
    ({"jpeg": True}, "jpeg is True, expected a number (quality)"),
    ({"jpeg": "75"}, "jpeg is '75', expected a number (quality)"),
    ({"jpeg": 75, "draws": 2}, "jpeg draws nothing at random; remove draws"),
    ({"bit_depth": 8}, "bit_depth is 8, out of range 1 to 7 (number of bits)"),
    ({"median": 1}, "median is 1, out of range 2 to 15"),
    ({"noise": 12}, "noise draws at random; add draws, the number of draws, each a forward pass"),
    ({"noise": 0.25, "draws": 2}, "less than one pixel value is lost; did you mean"),
]


@pytest.mark.parametrize(("row", "line"), MISTAKES)
def test_a_mistake_is_named(row: dict[str, Any], line: str) -> None:
    with pytest.raises(ValueError) as error:
        DefendedModel.model_validate({"model": "fnn0", **row})
    assert line in str(error.value)


def test_images_are_enlarged_before_they_are_padded() -> None:
    section = {"guarded": DefendedModel.model_validate({"model": "fnn0", "resize_pad": 28, "draws": 1})}
    with pytest.raises(
        UserError, match="resize_pad is 28, expected more than the images' side of 28 pixels, such as 31"
    ):
        defended_models.register(section, registry.spec, 28)


def test_every_defence_declares_itself_and_its_own_modules() -> None:
    known = defence_files.defences()
    assert set(known) == set(ROWS)
    for name, defence in known.items():
        assert "arXiv" in defence.cite and "{level:g}" in defence.words and defence.summary
        section = {"guarded": DefendedModel.model_validate({"model": "lenet", **ROWS[name]})}
        defended_models.register(section, registry.spec, 28)
        spec = registry.spec("guarded")
        hashed = fingerprint.fingerprint(network_files.modules(spec.network, "crossfool"))
        parts = {module for module in hashed if module.startswith(("models.defences.", "models.networks."))}
        assert parts == {f"models.defences.{name}", "models.networks.lenet"} and "models.defended_network" in hashed
