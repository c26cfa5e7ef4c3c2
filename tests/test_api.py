"""`crossfool.api`: the bytes of cells, the rates of metrics, and errors of one line; the code of docs/api.md runs."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import ROOT, make_subset
from made_cells import ROWS, cell, make_weights, run
from PIL import Image
from torch import nn

from crossfool import api
from crossfool.errors import UserError
from crossfool.models.inference.pixel_model import PixelModel
from crossfool.pipeline.evaluation import success
from crossfool.storage.tensors import TensorFile

FGSM = {"epsilon": 8, "steps": 1, "step_size": 8}
IMAGES = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (3, 1, 28, 28), np.uint8))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The made subset and weights, in the current folder."""
    monkeypatch.setenv("CROSSFOOL_DEVICE", "cpu")
    monkeypatch.chdir(tmp_path)
    make_subset(tmp_path)
    make_weights(tmp_path)
    return tmp_path


def loaded(name: str) -> api.Model:
    return api.load_model(name, weights=f"weights/{name}.safetensors")


@pytest.mark.parametrize(
    ("source", "row"),
    [("fnn2", "migsm"), ("fnn2", "targeted"), ("fnn0+fnn2", "today"), ("fnn2", "takes"), ("fnn0", "fractional")],
)
def test_attacked_images_are_the_bytes_of_a_cell(folder: Path, source: str, row: str) -> None:
    path = run(
        cell(Path("subset/images.safetensors"), Path("weights"), row, source=source), Path("weights"), folder / "x"
    )
    clean, expected = TensorFile("subset/images.safetensors"), TensorFile(path)["images"]
    models = [loaded(name) for name in source.split("+")]
    targets = clean["target_labels"] if row == "targeted" else None
    images = torch.from_numpy(np.array(clean["images"])).float()  # floats of whole numbers will do
    arguments = (models[0] if len(models) == 1 else models, images, clean["labels"], ROWS[row], targets)
    found = api.attack(*arguments, ids=clean["index"], chunk=4)
    assert found.dtype == torch.uint8 and np.array_equal(found.numpy(), expected)
    other = api.attack(*arguments, chunk=4)  # other ids
    assert np.array_equal(other.numpy(), expected) == (row in ("migsm", "fractional"))  # which draw nothing


def test_success_is_counted_by_hand(folder: Path) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(6, 6, bias=False))
    network[1].weight.data.copy_(torch.eye(6))
    model = api.wrap_model(network, name="mine", mean=[0.0], std=[255.0], side=1)
    model = api.Model("mine", PixelModel(network, mean=(0.0,), std=(255.0,), side=6))  # the greatest pixel is the class

    def images(*orders: list[int]) -> np.ndarray:
        """Images (N,1,1,6) whose classes by rank are these."""
        pixels = np.zeros((len(orders), 1, 1, 6), np.uint8)
        for image, order in zip(pixels, orders, strict=True):
            image[0, 0, order] = 250 - 10 * np.arange(6)
        return pixels

    adversarial = images([0, 1, 2, 3, 4, 5], [1, 0, 2, 3, 4, 5], [1, 2, 3, 4, 5, 0], [2, 1, 0, 3, 4, 5])
    labels, targets = [0, 0, 0, 1], [1, 1, 2, 0]
    found = api.success(model, adversarial, labels)  # wrong: all but the first; not among the five: the third
    assert (found["top1"], found["top5"], found["n"]) == (75.0, 25.0, 4)
    assert (found["top1_low"], found["top1_high"]) == (30.0642, 95.4413)
    found = api.success(model, adversarial, labels, targets)  # aimed well: the second; all are among the five
    assert (found["top1"], found["top5"]) == (25.0, 100.0)
    clean = images([0, 1, 2, 3, 4, 5], [1, 0, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5], [1, 0, 2, 3, 4, 5])
    found = api.success(model, adversarial, labels, clean=clean)  # all but the second count
    assert (found["top1"], found["top5"], found["n"]) == (66.6667, 33.3333, 3)
    with pytest.raises(UserError, match="mine classifies no clean image correctly"):
        api.success(model, adversarial, [3, 3, 3, 3], clean=clean)


def test_success_is_that_of_the_metrics(folder: Path) -> None:
    clean, model = TensorFile("subset/images.safetensors"), loaded("fnn0")
    logits = model(torch.from_numpy(np.array(clean["images"])))
    metrics = success.cell_metrics({"fnn0": logits.topk(5).indices.numpy()}, clean["labels"], None, "fnn2")["fnn0"]
    assert api.success(model, clean["images"], clean["labels"]) == {k: v for k, v in metrics.items() if k != "whitebox"}


def test_mistakes_are_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, labels = loaded("fnn0"), [1, 2, 3]

    def refused(match: str, function: Any = api.attack, *arguments: Any, **options: Any) -> None:
        given = arguments or (model, IMAGES, labels, FGSM)
        with pytest.raises(UserError, match=match) as caught:
            function(*given, **options)
        assert "\n" not in str(caught.value)

    refused("row: epsilon is 0.03: pixels are 0..255", api.attack, model, IMAGES, labels, {**FGSM, "epsilon": 0.03})
    refused(
        "unknown key of attacks.row 'step'; did you mean steps", api.attack, model, IMAGES, labels, {**FGSM, "step": 1}
    )
    refused("row: sigma is used only with", api.attack, model, IMAGES, labels, {**FGSM, "sigma": 3})
    refused("multiply them by 255", api.attack, model, IMAGES / 255, labels, FGSM)
    refused("whole numbers from 0 to 255", api.attack, model, IMAGES + 0.5, labels, FGSM)
    refused(r"images have the shape \(1, 28, 28\), expected \(N,C,H,W\)", api.attack, model, IMAGES[0], labels, FGSM)
    refused("fnn0 does not take images of", api.attack, model, IMAGES.expand(3, 3, 28, 28), labels, FGSM)
    refused(r"labels are int64 \(2,\), expected \(3,\) whole", api.attack, model, IMAGES, [1, 2], FGSM)
    refused("labels are 1 to 10, and fnn0 has the classes 0 to 9", api.attack, model, IMAGES, [1, 2, 10], FGSM)
    refused("labels are float64", api.success, model, IMAGES, [1.0, 2.0, 3.0])
    refused("and no targets are given", api.attack, model, IMAGES, labels, {**FGSM, "objective": "targeted"})
    refused("but targets given; give both or neither", targets=[1, 2, 3])
    refused("targets are 1 to 12", api.success, model, IMAGES, labels, [1, 2, 12])
    refused(r"ids have the shape \(1,\)", ids=[4])
    refused("models is empty", api.attack, [], IMAGES, labels, FGSM)
    refused("looks into the layers of fnn0; load the model with as_built=True", api.attack, model, IMAGES, labels, BPA)
    refused(r"clean are \(2, 1, 28, 28\), expected", api.success, model, IMAGES, labels, clean=IMAGES[:2])
    refused("did you mean fnn8", api.load_model, "fnn88")
    refused("fnn0 is trained in an experiment and has no published weights", api.load_model, "fnn0")
    refused("holds the weights of 'fnn0'", api.load_model, "fnn2", weights="weights/fnn0.safetensors")
    refused("expected 64 hexadecimal digits", api.load_model, "timm_resnet18", sha256="abc")
    few = api.wrap_model(nn.Sequential(nn.Flatten(), nn.Linear(784, 2)), name="few", mean=[0.0], std=[255.0], side=28)
    refused("few has fewer than 5 classes", api.success, few, IMAGES, [0, 1, 1])
    refused("multiply mean and std by 255", wrapped, mean=[0.4], std=[0.2])
    refused("mean has 1 channels and std 3", wrapped, mean=[0.4], std=[50.0] * 3)


BPA = {"method": "torchattack/BPA", "epsilon": 8}


def wrapped(*_: Any, **options: Any) -> None:
    api.wrap_model(nn.Flatten(), name="mine", side=28, **options)


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs/api.md").read_text(encoding="utf-8"), re.DOTALL)


def test_the_code_of_the_page_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, further, own, bytes_of_cell = blocks()
    assert len(first.split("api\n\n")[1].splitlines()) <= 8
    pixels = np.random.default_rng(0).integers(0, 256, (240, 300, 3), np.uint8)
    Image.fromarray(pixels).save("dog.jpg")
    networks = {}

    def small(name: str) -> api.Model:
        """A small network in place of the published one."""
        torch.manual_seed(len(networks))
        networks[name] = nn.Sequential(nn.Conv2d(3, 4, 8, 8), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 28 * 28, 1000))
        return api.wrap_model(networks[name], name=name, mean=[127.0] * 3, std=[128.0] * 3, side=224)

    with monkeypatch.context() as patch:
        patch.setattr(api, "load_model", small)
        names: dict[str, Any] = {}
        exec(first, names)
        assert "'top1': " in capsys.readouterr().out and list(networks) == ["efficientnet_lite0", "efficientnet_lite2"]
        saved = torch.from_numpy(np.array(Image.open("adversarial.png"))).permute(2, 0, 1)
        assert torch.equal(saved, names["adversarial"][0])
        distance = np.abs(names["adversarial"].numpy().astype(int) - names["images"])
        assert distance.max() == 8
        names["labels"] = [
            int(names["target"](torch.from_numpy(names["images"].copy())).argmax())
        ]  # is right when clean
        exec(further, names)
        names["network"] = networks["efficientnet_lite0"]
        exec(own, names)
    run(
        cell(Path("subset/images.safetensors"), Path("weights")),
        Path("weights"),
        folder / "adversarial/fnn2/sg.safetensors",
    )
    exec(bytes_of_cell, {"api": api})
