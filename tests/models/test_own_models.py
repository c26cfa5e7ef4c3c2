"""Models of the user's own: every wrapper that weights and outputs come in, and one line for all that can be wrong."""

import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from builders import ROOT
from safetensors.torch import save_file
from torch import Tensor, nn

from crossfool.errors import UserError
from crossfool.models import build, own_models
from crossfool.models.inference import pixel_model
from crossfool.models.own_models import OwnModel
from crossfool.models.weights import registry
from crossfool.models.weights.own_weights import write_own_weights
from crossfool.storage.hashing import sha256
from crossfool.storage.tensors import TensorFile

LINEAR = """
from torch import nn

def build():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
"""
WRAPPED = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, outputs=10):
        super().__init__()
        self.fc = nn.Linear(784, outputs)

    def forward(self, x):
        logits = self.fc(x.flatten(1))
        return {output}

def build():
    return Net()
"""
CPU = torch.device("cpu")
IMAGES = torch.randint(256, (3, 1, 28, 28), generator=torch.Generator().manual_seed(1)).float()


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget the modules and models that a test has imported and registered."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(own_models, "_registered", {})
    monkeypatch.setenv("_CROSSFOOL_OWN_MODELS", "[]")
    before = set(sys.modules)
    yield
    for name in sys.modules.keys() - before:
        if name in ("blocks", "layers") or name.startswith("own_model_"):
            del sys.modules[name]


def state(outputs: int = 10, prefix: str = "1.") -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(outputs, 784, generator=generator) / 28
    return {f"{prefix}weight": weight, f"{prefix}bias": torch.linspace(-1, 1, outputs)}


def registered(folder: Path, code: str = LINEAR, content: Any = None, **values: Any) -> own_models.OwnNetwork:
    """Write a model's files, and make it known as `mynet`, for MNIST."""
    (folder / "own").mkdir(exist_ok=True)
    (folder / "own/mynet.py").write_text(code)
    torch.save(state() if content is None else content, folder / "own/mynet.pt")
    row = {"file": "mynet.py", "weights": "mynet.pt", "mean": [100.0], "std": [50.0], "side": 28, **values}
    own_models.register({"mynet": OwnModel.model_validate(row)}, folder, "mnist")
    own = own_models.find_own("mynet")
    assert own is not None
    return own


def written(folder: Path, *arguments: Any, **values: Any) -> Path:
    """The weights file that the stage `train` writes of a model."""
    own = registered(folder, *arguments, **values)
    write_own_weights(registry.spec("mynet"), sha256(own.weights), folder / "mynet.safetensors")
    return folder / "mynet.safetensors"


def logits_by_hand(outputs: int = 10, mean: float = 100, std: float = 50) -> Tensor:
    weight, bias = state(outputs).values()
    return ((IMAGES.flatten(1) - mean) / std) @ weight.T + bias


def logits(path: Path) -> Tensor:
    return pixel_model.load(path, device=CPU)(IMAGES)


def refused(folder: Path, *arguments: Any, **values: Any) -> str:
    """The line by which a model is refused."""
    with pytest.raises(UserError) as error:
        written(folder, *arguments, **values)
    assert not (folder / "mynet.safetensors").exists() and "\n" not in str(error.value)
    return str(error.value)


WRAPPERS = {
    "plain": state(),
    "state_dict": {"state_dict": state(), "epoch": 3},
    "model": {"model": state(), "optimizer": {"lr": 0.1}},
    "net": {"net": state()},
    "module.": state(prefix="module.1."),
    "compiled": {"state_dict": state(prefix="_orig_mod.module.1.")},
    "half": {name: value.half() for name, value in state().items()},
    "double": {name: value.double() for name, value in state().items()},
    "normalisation": state() | {"normalize.mean": torch.tensor([100 / 255]), "normalize.std": torch.tensor([50 / 255])},
}


@pytest.mark.parametrize("kind", WRAPPERS)
def test_weights_in_every_wrapper_give_the_same_logits(tmp_path: Path, kind: str) -> None:
    atol = 0.02 if kind == "half" else 1e-4
    torch.testing.assert_close(logits(written(tmp_path, LINEAR, WRAPPERS[kind])), logits_by_hand(), rtol=0, atol=atol)


def test_a_safetensors_file_elsewhere_and_pixels_0_to_1(tmp_path: Path) -> None:
    save_file(state(), tmp_path / "elsewhere.safetensors")
    pinned = {"weights": str(tmp_path / "elsewhere.safetensors"), "sha256": sha256(tmp_path / "elsewhere.safetensors")}
    path = written(tmp_path, **pinned, mean=[0.5], std=[0.25], pixels=1)
    torch.testing.assert_close(logits(path), logits_by_hand(mean=127.5, std=63.75), rtol=0, atol=1e-4)
    description = TensorFile(path).metadata_object("model")
    assert (description["mean"], description["std"], description["side"]) == ([127.5], [63.75], 28)
    assert (description["file_sha256"], description["version"]) == (pinned["sha256"], "own")


OUTPUTS = {
    "a dictionary": "{'features': x, 'logits': logits, 'auxiliary': 2 * logits}",
    "a dictionary of one fitting output": "{'features': x.flatten(1), 'scores': logits}",
    "a tuple": "(logits, x.flatten(1))",
    "a list": "[x.flatten(1), logits]",
}


@pytest.mark.parametrize("kind", OUTPUTS)
def test_logits_are_found_in_other_outputs(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path, WRAPPED.replace("{output}", OUTPUTS[kind]), state(prefix="fc."))
    torch.testing.assert_close(logits(path), logits_by_hand(), rtol=0, atol=1e-4)
    assert pixel_model.load(path, device=CPU)(IMAGES.requires_grad_()).requires_grad


def test_a_background_class_is_left_out(tmp_path: Path) -> None:
    code = WRAPPED.replace("{output}", "logits").replace("outputs=10", "outputs=11")
    assert (
        "(1, 11) for one image, expected one output (1, 10); where the first logit is of a background class, set "
        in (refused(tmp_path, code, state(11, "fc.")))
    )
    path = written(tmp_path, code, state(11, "fc."), classes=11)
    torch.testing.assert_close(logits(path), logits_by_hand(11)[:, 1:], rtol=0, atol=1e-4)


def test_a_half_precision_network_computes_in_float32(tmp_path: Path) -> None:
    path = written(tmp_path, LINEAR.replace("10))", "10)).half()"))
    torch.testing.assert_close(logits(path), logits_by_hand(), rtol=0, atol=1e-4)


def test_a_worker_process_knows_what_its_parent_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = registered(tmp_path)
    monkeypatch.setattr(own_models, "_registered", {})
    assert own_models.find_own("mynet") is None
    own_models._inherit()
    assert own_models.find_own("mynet") == own


BAD_CODE = {
    "def build():\n    1 / 0": "own/mynet.py: build() raises ZeroDivisionError: division by zero (mynet.py, line 2)",
    "import sys\ndef build():\n    sys.exit(3)": "build() calls exit (mynet.py, line 3)",
    "raise RuntimeError('no GPU')": "own/mynet.py: importing it raises RuntimeError: no GPU (mynet.py, line 1)",
    "def built(): ...": "unknown function of own/mynet.py 'build'; did you mean built?",
    "def build():\n    return {}": "build() returns a dict, expected an nn.Module",
    "def build(": "mynet.py is no Python: '(' was never closed",
    "import nonesuch": "raises ModuleNotFoundError: No module named 'nonesuch'",
    LINEAR.replace(
        "784, 10", "784, 7"
    ): "the network gives (1, 7) for one image, expected one output (1, 10): a logit for",
    LINEAR.replace("784, 10", "700, 10"): "the network raises RuntimeError: mat1 and mat2 shapes",
    LINEAR.replace("10))", "10), nn.Softmax(1))"): "gives probabilities, expected logits; leave out its softmax",
    WRAPPED.replace("{output}", "logits + torch.rand(1)"): "differ from call to call",
    WRAPPED.replace("{output}", "logits - logits.mean(0)"): "depend on the others of its batch",
    WRAPPED.replace("{output}", "logits / 0 * 0"): "a logit of a random image is NaN or infinite",
    WRAPPED.replace("{output}", "(logits, 2 * logits)"): "a tuple of 0: (1, 10), 1: (1, 10) for one image",
    WRAPPED.replace("{output}", "'seven'"): "the network gives a str, expected logits (N,10)",
    WRAPPED.replace("def forward", "def train(self, mode=True):\n        return super().train()\n\n    def forward"): (
        "the network is in training mode after eval()"
    ),
    WRAPPED.replace("def forward", "def train(self, mode=True):\n        pass\n\n    def forward"): (
        "eval() of the network does not return the network"
    ),
}


@pytest.mark.parametrize("code", BAD_CODE)
def test_code_that_is_no_classifier_is_refused_in_one_line(tmp_path: Path, code: str) -> None:
    weights = state(7) if "784, 7" in code else state(prefix="fc." if "self.fc" in code else "1.")
    weights = {"1.weight": torch.zeros(10, 700), "1.bias": torch.zeros(10)} if "700" in code else weights
    line = refused(tmp_path, code.replace("{output}", "logits"), weights)
    assert BAD_CODE[code] in line and "mynet" in line


def test_weights_that_do_not_fit_are_refused_in_one_line(tmp_path: Path) -> None:
    assert "1.weight has shape (5, 784), expected (10, 784)" in refused(tmp_path, LINEAR, state(5))
    assert "2.weight is missing" in refused(tmp_path, LINEAR.replace("nn.Flatten(),", "nn.Flatten(), nn.ReLU(),"))
    assert "its network" not in refused(tmp_path, LINEAR, nn.Linear(784, 10))  # a whole model is a pickle of code
    assert "no code runs" in refused(tmp_path, LINEAR, nn.Linear(784, 10))
    other = state() | {"normalize.mean": torch.tensor([0.1]), "normalize.std": torch.tensor([0.2])}
    assert "the weights file has mean 25.5 (pixels 0..255), and params.yaml 100;" in refused(tmp_path, LINEAR, other)
    infinite = state() | {"1.bias": torch.full((10,), torch.nan)}
    assert "is NaN or infinite" in refused(tmp_path, LINEAR, infinite)
    wrong = {"sha256": "0" * 64}
    registered(tmp_path, **wrong)
    with pytest.raises(UserError, match=r"mynet\.pt has sha256 .*, expected 0000000000000000"):
        write_own_weights(registry.spec("mynet"), "0" * 64, tmp_path / "mynet.safetensors")


def test_a_network_that_normalises_itself_is_not_normalised_twice(tmp_path: Path) -> None:
    inside = "self.register_buffer('mean', torch.tensor([0.5])); self.register_buffer('std', torch.tensor([0.25]))"
    code = WRAPPED.replace("super().__init__()\n", f"super().__init__()\n        {inside}\n")
    code = code.replace("x.flatten(1)", "((x - self.mean) / self.std).flatten(1)").replace("{output}", "logits")
    weights = state(prefix="fc.") | {"mean": torch.tensor([0.5]), "std": torch.tensor([0.25])}
    assert "normalises by mean and std itself, and params.yaml by 100 and 50" in refused(tmp_path, code, weights)
    path = written(tmp_path, code, weights, mean=[0], std=[255])
    torch.testing.assert_close(logits(path), logits_by_hand(mean=127.5, std=63.75), rtol=0, atol=1e-4)


def test_what_it_prints_is_no_output_of_the_stage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, LINEAR.replace("def build():", "print('hello')\ndef build():"))
    printed = capsys.readouterr()
    assert printed.out == "" and "hello" in printed.err


def test_files_beside_it_are_imported_and_part_of_its_key(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/blocks.py").write_text("from layers import last\n")
    (tmp_path / "own/layers.py").write_text("from torch import nn\ndef last(): return nn.Linear(784, 10)\n")
    code = LINEAR.replace("    return", "    from blocks import last\n    return").replace(
        "nn.Linear(784, 10)", "last()"
    )
    path = written(tmp_path, code)
    torch.testing.assert_close(logits(path), logits_by_hand(), rtol=0, atol=1e-4)
    own = own_models.find_own("mynet")
    assert own is not None and list(own.files) == ["mynet.py", "blocks.py", "layers.py"]
    (tmp_path / "own/other.py").write_text("1\n")
    assert registered(tmp_path, code).key == own.key
    (tmp_path / "own/layers.py").write_text("from torch import nn\ndef last(): return nn.Linear(784, 10) # edited\n")
    assert registered(tmp_path, code).key != own.key
    with pytest.raises(UserError, match="mynet is no model here, or its code changed"):
        build.build(own.key, "crossfool")
    with pytest.raises(UserError, match=r"is not of the zoo's mynet; delete it and run `dvc repro`"):
        pixel_model.load(path, device=CPU)


def test_a_file_that_hides_a_library_or_is_imported_by_name_only_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/json.py").write_text("")
    assert "has the name of another module" in refused(tmp_path, f"import json\n{LINEAR}")
    (tmp_path / "own/layers.py").write_text("")
    code = f"import importlib\nimportlib.import_module('layers')\n{LINEAR}"
    assert "layers.py, which no import statement names" in refused(tmp_path, code)


def test_code_that_is_edited_while_it_is_loaded_is_refused(tmp_path: Path) -> None:
    own = registered(tmp_path)
    Path(own.path).write_text(f"{LINEAR}# edited\n")
    with pytest.raises(UserError, match=r"own/mynet\.py changed while the stage was loading it; run `dvc repro`"):
        build.build(own.key, "crossfool")


def test_the_example_of_the_documentation_is_such_a_model(tmp_path: Path) -> None:
    page = (ROOT / "docs/your-own.md").read_text(encoding="utf-8")
    part = page.partition("### A model of your own")[2]
    code, rows = (re.search(rf"```{kind}\n(.*?)```", part, re.DOTALL) for kind in ("python", "yaml"))
    assert code is not None and rows is not None
    (tmp_path / "own").mkdir()
    (tmp_path / "own/mynet.py").write_text(textwrap.dedent(code[1]))
    ((name, row),) = yaml.safe_load(textwrap.dedent(rows[1]))["own_models"].items()
    own_models.register({name: OwnModel.model_validate(row)}, tmp_path, "imagenet")
    own = own_models.find_own(name)
    assert own is not None and own.std == pytest.approx((58.395, 57.12, 57.375))
    torch.manual_seed(0)
    network = build.build(own.key, "crossfool")
    torch.save(network.state_dict(), own.weights)
    write_own_weights(own.spec, sha256(own.weights), tmp_path / "mynet.safetensors")
    assert pixel_model.load(tmp_path / "mynet.safetensors", device=CPU)(IMAGES.expand(3, 3, 28, 28)).shape == (3, 1000)
