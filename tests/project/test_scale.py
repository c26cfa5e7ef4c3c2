"""Numbers and images on the scale 0..1 are refused, wherever pixel values are expected, and told in pixel values."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from builders import ROOT
from torch import nn

from crossfool import errors
from crossfool.attacks import sweeps
from crossfool.attacks.chunk import Chunk
from crossfool.attacks.config import Attack
from crossfool.attacks.loop import Budget, attack
from crossfool.attacks.noise.antithetic import antithetic
from crossfool.attacks.noise.gaussian import gaussian
from crossfool.attacks.noise.latin import latin
from crossfool.attacks.noise.uniform import uniform
from crossfool.attacks.projection import quantise
from crossfool.attacks.updates import sign
from crossfool.cli import check
from crossfool.errors import UserError
from crossfool.experiment import loading
from crossfool.experiment.config import Experiment
from crossfool.models.inference import pixel_model
from crossfool.models.inference.batch_size import Fit
from crossfool.pipeline.crafting import craft
from crossfool.pipeline.evaluation import image_transforms, predict

IGSM = {"epsilon": 8, "steps": 10, "step_size": 2}
SMOOTHED = {"gradient": "smoothed", "samples": 2, "sigma": 15}
LITE = "efficientnet_lite0"
GRID = {
    "attack": {},
    "epsilon": [8, 16],
    "steps": [1],
    "step_size": ["epsilon"],
    "samples": [2],
    "sigma": [15],
    "figure": {"x": "epsilon", "lines": None},
}
SIMILAR = {"source": LITE, "target": LITE, "images": 2, "samples": [1], "sigma": 15}
PLANE = {"source": LITE, "targets": [LITE], "image": 0, "samples": 2, "sigma": 15, "sign": True, "extent": 10,
         "points": 3}  # fmt: skip
SALIENT = {"model": LITE, "images": [0], "samples": [1], "sigma": 15}


def error(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> str:
    """The error for a changed params.yaml; "" if it is valid."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values["models"], values["sources"] = [LITE], [LITE]
    values["attacks"] = {"igsm": dict(IGSM)}
    change(values)
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    try:
        loading.load_experiment(path)
    except UserError as found:
        text = str(found)
        assert "\n" not in text and len(text) < 360
        return text
    return ""


def with_row(tmp_path: Path, **row: Any) -> str:
    return error(tmp_path, lambda values: values.update(attacks={"igsm": {**IGSM, **row}}))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"epsilon": 0.03137, "step_size": 0.00784}, "igsm: epsilon is 0.03137: pixels are 0..255, .* mean 8?"),
        ({"epsilon": 8 / 255}, "did you mean 8?"),
        ({"epsilon": 0.3}, "did you mean 76.5?"),
        ({"epsilon": 0.999}, "did you mean 254.7?"),
        ({"epsilon": 0.0039}, "did you mean 1?"),
        ({"epsilon": 0.001}, "less than one pixel value is lost; write 1 or more"),
        ({"step_size": 0.00784}, "step_size is 0.00784: 10 steps of it reach 0.0784, .* 0..255; did you mean 2?"),
        ({"step_size": 0.49, "steps": 1}, "1 step of it reach"),
        ({"sigma": 15 / 255, "gradient": "smoothed", "samples": 2}, "igsm: sigma is 0.0588.*: pixels .* mean 15?"),
        ({"radius": 0.1, "gradient": "varied", "samples": 2}, "igsm: radius is 0.1: pixels are 0..255.* mean 25.5?"),
        ({"radius": 0.1, "gradient": "relevant", "samples": 2}, "igsm: radius is 0.1: .* mean 25.5?"),
        ({"method": "torchattack/IFGSM", "epsilon": 0.0627}, "igsm: epsilon is 0.0627: .* mean 16?"),
        ({"method": "torchattack/PGD", "step_size": 0.01, "epsilon": 8}, "step_size is 0.01: .* mean 2.55?"),
    ],
)
def test_an_attack_written_for_pixels_0_to_1(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    found = with_row(tmp_path, **row)
    assert found.startswith(f"{tmp_path / 'params.yaml'}: attacks: igsm: ")
    with pytest.raises(UserError, match=said.replace("?", r"\?").replace("..255", r"\.\.255")):
        raise UserError(found)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("8/255", "write 8"),
        ("16/255", "write 16"),
        (" 8.0 / 255.0 ", "write 8"),
        ("8", "write 8"),
        ("0.5", "write 127.5"),
        ("0.03137", "write 8"),
        ("8%", "write 20.4"),
        ("100%", "write 255"),
        ("4/256", "write 4"),
        ("8/0", "0..255"),
        ("1.2.3", "0..255"),
        ("300", "0..255"),
        ("eight", "0..255"),
        ("", "0..255"),
    ],
)
@pytest.mark.parametrize("key", ["epsilon", "step_size", "sigma", "radius"])
def test_a_text_is_told_as_the_number_to_write(tmp_path: Path, key: str, text: str, meant: str) -> None:
    own = {"sigma": SMOOTHED, "radius": {"gradient": "varied", "samples": 2}}.get(key, {})
    found = with_row(tmp_path, **{**own, key: text})
    assert f"attacks: igsm: {key} is {text!r}: expected a number of pixel values, 0..255" in found
    assert found.endswith(meant)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"grids": {"epsilon": [0.03, 8]}}, "grids: a: epsilon: 0 is 0.03: pixels are 0..255"),
        ({"grids": {"epsilon": ["8/255"]}}, "grids: a: epsilon: 0 is '8/255': expected a number of pixel values, 0"),
        ({"grids": {"step_size": [0.01, 8]}}, "grids: a: step_size is 0.01: 1 step of it reach 0.01"),
        ({"grids": {"step_size": ["2/255"]}}, "grids: a: step_size: 0"),
        ({"grids": {"sigma": [0.06]}}, "grids: a: sigma: 0 is 0.06: pixels are 0..255"),
        ({"similarity": {"sigma": 0.06}}, "similarity: one: sigma is 0.06: pixels are 0..255"),
        ({"saliency": {"sigma": 0.06}}, "saliency: one: sigma is 0.06: pixels are 0..255"),
        ({"boundary": {"sigma": 0.06}}, "boundary: one: sigma is 0.06: pixels are 0..255"),
        ({"boundary": {"extent": 0.08}}, "boundary: one: extent is 0.08: pixels are 0..255"),
        ({"boundary": {"extent": "20/255"}}, "boundary: one: extent is '20/255': .*; write 20"),
        ({"transforms": {"gaussian_noise": [0.06]}}, "transforms: gaussian_noise: level 0.06 .*did you mean 15.3"),
        ({"transforms": {"gaussian_noise": ["15/255"]}}, "gaussian_noise: a level is '15/255': .*; write 15"),
    ],
)
def test_other_sections_written_for_pixels_0_to_1(tmp_path: Path, section: dict[str, Any], said: str) -> None:
    ((name, change),) = section.items()
    right = {"similarity": SIMILAR, "saliency": SALIENT, "boundary": PLANE}

    def edit(values: dict[str, Any]) -> None:
        if name == "grids":
            values["grids"] = {"a": {**GRID, **change}, "b": values["grids"]["b"]}
        else:
            values[name] = change if name == "transforms" else {"one": {**right[name], **change}}

    with pytest.raises(UserError, match=said.replace("..255", r"\.\.255")):
        raise UserError(error(tmp_path, edit))


@pytest.mark.parametrize(
    "row",
    [
        {"epsilon": 0},  # nothing is changed, as a check of the rest
        {"epsilon": 0, "step_size": 0.1},
        {"epsilon": 1, "step_size": 0.1},
        {"epsilon": 1.5, "step_size": 0.25, "steps": 2},
        {"epsilon": 4, "step_size": 0.2, "steps": 20},
        {**SMOOTHED, "sigma": 0},
        {**SMOOTHED, "sigma": 1},
        {"epsilon": 8, "step_size": 0.05},
    ],
)
def test_what_can_change_a_pixel_is_valid(tmp_path: Path, row: dict[str, Any]) -> None:
    assert with_row(tmp_path, **row) == ""


def test_levels_in_other_units_may_be_below_1(tmp_path: Path) -> None:
    levels = {"gaussian_blur": [0.5], "rotation": [0.5], "gaussian_noise": [0, 1]}
    assert error(tmp_path, lambda values: values.update(transforms=levels)) == ""


def test_steps_that_reach_little_are_doubted_with_what_was_meant() -> None:
    row = Attack(epsilon=8, steps=100, step_size=0.00784)
    experiment = Experiment.model_construct(
        sources=("fnn0",), attacks={"igsm": row}, grids=sweeps.Grids.model_construct()
    )
    experiment.__dict__["rows"] = {"igsm": row}
    (said,) = check._doubts(experiment)
    assert said.endswith("never epsilon, 8; did you mean 2?")


# --- from Python ------------------------------------------------------------------------------------


def up(loss: Any, x: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(x)


@pytest.mark.parametrize("epsilon", [8 / 255, 0.3, 0.999])
def test_a_budget_on_the_scale_0_to_1(epsilon: float) -> None:
    with pytest.raises(UserError, match=r"epsilon is .*: pixels are 0\.\.255.*did you mean"):
        Budget(epsilon, 10, 2)
    with pytest.raises(UserError, match=r"epsilon is .*: pixels are 0\.\.255"):
        quantise(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), epsilon)
    with pytest.raises(UserError, match=r"step_size is .*did you mean"):
        Budget(8, 1, epsilon / 3)
    assert Budget(0, 1, 0.1) and Budget(1, 5, 0.1)


@pytest.mark.parametrize(
    "images",
    [torch.rand(2, 3, 4, 4), torch.full((1, 1, 2, 2), 0.5), torch.linspace(0, 1, 12).view(1, 3, 2, 2)],
)
def test_images_0_to_1_are_refused(images: torch.Tensor) -> None:
    with pytest.raises(UserError, match=r"pixels are 0\.\.255, and these images lie in 0\.\.1; multiply them by 255"):
        attack(lambda x: x, images, Budget(8, 1, 8), estimate=up, update=sign.sign)
    with pytest.raises(UserError, match=r"these images lie in 0\.\.1"):
        errors.refuse_unit_images(images.numpy())
    network = pixel_model.PixelModel(nn.Flatten(), mean=(0.0,), std=(1.0,), side=images.shape[-1])
    with pytest.raises(UserError, match=r"these images lie in 0\.\.1"):
        network(images)
    asked: dict[str, Any] = {"batch": 2, "device": torch.device("cpu")}
    with pytest.raises(UserError, match=r"these images lie in 0\.\.1"):
        predict.top5(lambda x: x.flatten(1), images.numpy(), **asked)
    labels, row = torch.zeros(len(images), dtype=torch.int64), Attack(epsilon=8, steps=1, step_size=8)
    chunk = Chunk(images, labels, labels, range(len(images)))
    for one in (row, Attack(method="torchattack/FGSM", epsilon=8)):
        with pytest.raises(UserError, match=r"these images lie in 0\.\.1"):
            craft.craft_in_batches([], one, chunk, Fit(2, torch.device("cpu")))


@pytest.mark.parametrize("low, high", [(-2.1, 2.6), (-1, 255), (0, 256), (float("nan"), 3)])
def test_images_outside_0_to_255_are_refused(low: float, high: float) -> None:
    images = torch.tensor([low, high, 100.0, 7.0]).view(1, 1, 2, 2)
    with pytest.raises(UserError, match=r"pixels are 0\.\.255, and these images go from"):
        attack(lambda x: x, images, Budget(8, 1, 8), estimate=up, update=sign.sign)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.5 + 100, 255.0])
def test_black_whole_and_fractional_images_pass(value: float) -> None:
    images = torch.full((1, 1, 2, 2), value)
    found = attack(lambda x: x, images, Budget(8, 1, 8), estimate=up, update=sign.sign)
    assert found.max() == min(value + 8, 255)
    pixel_model.PixelModel(nn.Flatten(), mean=(0.0,), std=(1.0,), side=2)(images)
    errors.refuse_unit_images(images)
    errors.refuse_unit_images(np.zeros((0, 1, 2, 2), np.float32))
    errors.refuse_unit_images(torch.ones(1, 1, 2, 2, dtype=torch.uint8))


@pytest.mark.parametrize(
    "noise",
    [
        lambda value: gaussian(0, [1], value),
        lambda value: latin(0, [1], value, 2),
        lambda value: uniform(0, [1], value),
        lambda value: antithetic(gaussian(0, [1], value)),
    ],
    ids=["gaussian", "latin", "uniform", "antithetic"],
)
def test_noise_on_the_scale_0_to_1(noise: Callable[[float], Any]) -> None:
    with pytest.raises(UserError, match=r"(sigma|radius) is 0\.0588235: pixels are 0\.\.255.*did you mean 15\?"):
        noise(15 / 255)
    noise(0), noise(1)


def test_a_transform_on_the_scale_0_to_1() -> None:
    images = torch.zeros(1, 1, 4, 4, dtype=torch.uint8)
    with pytest.raises(UserError, match=r"gaussian_noise: level 0.06 .*did you mean 15.3\?"):
        image_transforms.apply("gaussian_noise", 0.06, images, [0])
    image_transforms.apply("gaussian_blur", 0.5, images, [0])
