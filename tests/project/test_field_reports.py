"""docs/field-reports.md: the tests that it names are there, and those of its rows that no other file has."""

import ast
import copy
import io
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import ROOT
from PIL import Image
from torch import Tensor, nn

from crossfool.attacks.chunk import Chunk
from crossfool.attacks.config import Attack
from crossfool.datasets.preparation import prepare
from crossfool.datasets.preparation.catalogue import make_dataset
from crossfool.datasets.reading import decoding
from crossfool.errors import UserError
from crossfool.models.inference import pixel_model
from crossfool.models.weights import published, registry
from crossfool.models.weights.config import Weights
from crossfool.pipeline.crafting import craft
from crossfool.storage.hashing import sha256
from crossfool.storage.tensors import TensorFile

PAGE = (ROOT / "docs/field-reports.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.splitlines() if re.match(r"\| \d+ \|", line)]


# --- the page --------------------------------------------------------------------------------------------------------


def test_every_test_that_the_page_names_is_there() -> None:
    named = re.findall(r"`tests/([\w/]+\.py)::(\w+)`", PAGE)
    for file, name in named:
        tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
        assert name in {part.name for part in tree.body if isinstance(part, ast.FunctionDef)}, f"{file}::{name}"
    assert len(named) > 40


def test_every_row_is_numbered_and_has_a_verdict() -> None:
    thread = r"\(https://github\.com/[\w.-]+/[\w.-]+/(issues|pull)/\d+\)"
    rows = [[part.strip() for part in row.strip("|").split("|")] for row in ROWS]
    assert [int(row[0]) for row in rows] == list(range(1, len(rows) + 1))
    for number, source, symptom, tried, verdict, test in rows:
        assert re.match(r"(held|mended|refused in one line|open)\b", verdict), number
        assert source == "found in use" or re.search(thread, source), number
        assert symptom and tried and (test == "-" or test.startswith("`tests/")), number


# --- attacks ---------------------------------------------------------------------------------------------------------


class Small(nn.Module):
    """A network with what changes in training: batch statistics and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(), nn.Flatten(), nn.Linear(512, 10)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def attacked(network: nn.Module, **row: object) -> tuple[Tensor, Tensor]:
    """Six images, and what an attack makes of them."""
    about = {"mean": [120.0] * 3, "std": [60.0] * 3, "side": 8, "interpolation": "bilinear"}
    model = pixel_model.wrap(network, about, device=torch.device("cpu"))
    x = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (6, 3, 8, 8), np.uint8))
    labels = torch.arange(6)
    attack = Attack(**{"epsilon": 16, "steps": 3, "step_size": 6} | row)
    made, _ = craft.craft([model], attack, Chunk(x, labels, labels + 1, range(6)))
    return x, made["images"]


def test_a_network_in_training_mode_is_attacked_as_it_answers() -> None:
    torch.manual_seed(0)
    training = Small().train()
    before, answering = copy.deepcopy(training.state_dict()), copy.deepcopy(training).eval()
    first, second = attacked(training)[1], attacked(answering)[1]
    assert torch.equal(first, second)
    assert all(torch.equal(before[name], value) for name, value in training.state_dict().items() if name in before)


def test_an_epsilon_of_nothing_changes_nothing() -> None:
    torch.manual_seed(0)
    x, adversarial = attacked(Small(), epsilon=0)
    assert torch.equal(x, adversarial)


# --- weights ---------------------------------------------------------------------------------------------------------


def tarred(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("natural.pt"), io.BytesIO())


def cut(path: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, path)
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize("name", ["robust_Salman2020Do_R18", "timm_resnet18"])
@pytest.mark.parametrize(
    ("write", "said"),
    [
        (
            lambda path: path.write_text("<!DOCTYPE html><html>Virus scan warning</html>"),
            r"is a web page .*; fetch it .*",
        ),
        (
            lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n"),
            r"is a git-lfs pointer .*; fetch that with `git lfs pull`",
        ),
        (tarred, r"is a tar archive.*; unpack it.*"),
        (cut, r"holds no weights that can be read safely \(.+\); fetch it again"),
    ],
    ids=["page", "pointer", "tar", "cut off"],
)
def test_what_was_saved_in_place_of_weights_is_one_line(
    tmp_path: Path, name: str, write: Callable[[Path], object], said: str
) -> None:
    spec = registry.spec(name)
    path = tmp_path / (spec.file if spec.version == "robustbench" else f"{name}.safetensors")
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path)
    with pytest.raises(UserError, match=rf" {said}$") as error:
        published.fetch(spec, Weights(dir=str(tmp_path), sha256={name: sha256(path)}))
    assert str(path) in str(error.value) and "\n" not in str(error.value)


# --- images ----------------------------------------------------------------------------------------------------------


def test_a_photograph_of_two_pictures_is_its_first() -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8))
    data = io.BytesIO()
    picture.save(data, "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))], quality=95)
    plain = io.BytesIO()
    picture.save(plain, "JPEG", quality=95)
    first, second = (decoding.decode(each.getvalue(), "x.jpg", resize=None, side=32) for each in (data, plain))
    np.testing.assert_array_equal(first, second)


def grey(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (28, 28)).save(path)


def prepared(folder: Path, classes: str = "mnist") -> list[int]:
    """The labels of a folder's images."""
    out = [folder.parent / name for name in ("images.safetensors", "images.csv", "train.safetensors")]
    dataset = make_dataset(name="imagefolder", path=str(folder), classes=classes)
    prepare.prepare(dataset, *out, training=False)
    return TensorFile(out[0])["labels"].tolist()


def test_an_empty_class_shifts_no_label_and_a_notebooks_copies_are_passed_over(tmp_path: Path) -> None:
    for name in ("1/a.png", "5/b.png", ".ipynb_checkpoints/a-checkpoint.png", "5/.ipynb_checkpoints/b-checkpoint.png"):
        grey(tmp_path / "photos" / name)
    (tmp_path / "photos/0").mkdir()
    assert prepared(tmp_path / "photos") == [1, 5]


@pytest.mark.parametrize(
    ("names", "classes", "message"),
    [
        ([f"{number}/a.png" for number in range(1, 11)], "mnist", "the class folder '10' is no class of mnist"),
        (["0/a.png", "999/a.png"], "imagenet", "the class folder '0' is no ImageNet id"),
        (["goldfish/a.png"], "imagenet", "the class folder 'goldfish' is no ImageNet id"),
        (["0c7ac4a8.png", "labels.csv"], "imagenet", "lies in no class folder; move it into one or remove it"),
    ],
    ids=["counted from 1", "numbers", "words", "a table"],
)
def test_labels_that_could_be_meant_otherwise_are_one_line(
    tmp_path: Path, names: list[str], classes: str, message: str
) -> None:
    for name in names:
        grey(tmp_path / "photos" / name) if name.endswith("png") else (tmp_path / "photos" / name).write_text("a,0\n")
    with pytest.raises(UserError, match=re.escape(message)):
        prepared(tmp_path / "photos", classes)
