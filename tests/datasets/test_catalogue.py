"""Data sets as parts: the folder is the list, a module declares all about its data set, and a new one is one file."""

import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from builders import ROOT
from PIL import Image
from pydantic import ValidationError

from crossfool.datasets.preparation import catalogue, class_names
from crossfool.datasets.preparation.split import SHAPES
from crossfool.errors import UserError

NEW = '''"""Squares of one grey."""

from typing import TYPE_CHECKING

from crossfool.datasets.preparation.dataset import Dataset, ImagesPath

if TYPE_CHECKING:
    from crossfool.datasets.preparation.split import Split
    from crossfool.datasets.reading.image_source import ImageSource


class Part(Dataset):
    """Squares of one grey, 32 px.

    Attributes:
        path: The folder of squares.
        truck: The file that is a truck; all others
            are cats.
    """

    path: ImagesPath
    truck: str = "none"

    FAMILY = "cifar10"
    SOURCE = "a made folder"
    LICENCE = "free"

    def from_files(self, source: "ImageSource", training: bool) -> "tuple[Split, Split | None]":
        """Make a split of all files."""
        names = source.files.names()
        return source.split(self.shape, names, [9 if name == self.truck else 3 for name in names], "all"), None
'''
PARAMS = {
    "root": ".",
    "models": ["resnet20"],
    "targets": "all",
    "weights": {"dir": "own"},
    "training": None,
    "subset": {"images": "all"},
    "lpips": False,
    "compute": {"chunk": 5},
    "sources": ["resnet20"],
    "attacks": {"fgsm": {"epsilon": 15, "steps": 1, "step_size": 15}},
    "grids": {
        grid: {"attack": None, "epsilon": [], "steps": [], "step_size": [], "samples": [], "sigma": []}
        for grid in ("a", "b")
    },
    "transforms": {},
    "similarity": {},
    "boundary": {},
    "saliency": {},
    "scatter": {"attacks": [], "same_family": False},
}
PREPARE = """
import json, sys
from pathlib import Path
from crossfool.datasets.preparation import prepare
from crossfool.experiment import fingerprint, loading, stage_plans
from crossfool.storage.tensors import TensorFile
experiment = loading.load_experiment("params.yaml")
names = ("images.safetensors", "images.csv", "train.safetensors")
prepare.prepare(experiment.dataset, *names, training=False)
file = TensorFile(names[0])
plans = {plan.name: sorted(plan.content()["code"]) for plan in stage_plans.all_plans(experiment)}
print(json.dumps([file["labels"].tolist(), file["images"][:, 0, 0, 0].tolist(), file.metadata, plans]))
"""


def test_the_folder_is_the_list() -> None:
    modules = {path.stem for path in (ROOT / "crossfool/datasets").glob("*.py") if not path.stem.startswith("_")}
    assert {name.replace("-", "_") for name in catalogue.names()} == modules
    assert set(catalogue.names()) >= {"mnist", "cifar10", "imagenet", "imagenet-sample", "imagefolder"}


@pytest.mark.parametrize("name", catalogue.names())
def test_each_data_set_declares_itself(name: str) -> None:
    part = catalogue.find(name)
    assert part.summary() and part.SOURCE and part.LICENCE and part.FAMILY in SHAPES
    assert all(part.keys().values()), "a key without a description in the docstring's section Attributes"
    required = {key: "x" for key in part.model_fields if key not in ("name", *part.defaults())}
    made = catalogue.make_dataset(name, **required)
    assert made.name == name and made.family in SHAPES and made.shape.channels == SHAPES[made.family].channels
    assert len(class_names.class_names(made.family)) in (10, 1000)
    assert required or part.FETCHED_FROM, "where images come from without a path"


def test_the_documentation_has_the_tables_as_they_are_declared() -> None:
    text = (ROOT / "docs/parameters.md").read_text(encoding="utf-8")
    assert runpy.run_path(str(ROOT / "tools/datasets_table.py"))["page"](text) == text
    assert all(f"| `{name}` |" in text for name in catalogue.names())


def test_rows_that_no_data_set_takes() -> None:
    for row, message in (
        ({"name": "imagefoldr", "path": "x"}, "unknown name 'imagefoldr'; did you mean imagefolder?"),
        ({"name": ["mnist"]}, "unknown name"),
        ({"name": "_x"}, "unknown name"),
        ({"path": "x"}, "name is missing; valid: cifar10, "),
        ({"name": "imagenet"}, "path is missing; imagenet needs the folder or tar file that holds the images"),
        ({"name": "imagenet", "path": None}, "path is missing; imagenet needs"),
        ({"name": "mnist", "pth": "x"}, "unknown key 'pth'; did you mean path?"),
        ({"name": "mnist", 1: "x"}, "unknown key 1"),
        ({"name": "mnist", "train_folder": "x"}, "train_folder is used by imagefolder, not by mnist; remove it"),
    ):
        with pytest.raises(UserError if message.startswith("unknown") else ValueError, match=r"^\S.*$") as caught:
            catalogue.from_row(row)
        assert str(caught.value).startswith(message)
    for row in ({"name": "mnist", "path": 3}, {"name": "imagefolder", "path": "x", "classes": "imagenette"}):
        with pytest.raises(ValidationError):
            catalogue.from_row(row)
    assert catalogue.from_row({"name": "mnist", "classes": None, "path": None}) == catalogue.make_dataset("mnist")


def test_a_new_data_set_is_one_module(tmp_path: Path) -> None:
    """In a copy: listed, validated, prepared; its module is in the plan of `prepare` alone, and changes no other."""
    shutil.copytree(ROOT / "crossfool", tmp_path / "crossfool", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "crossfool/datasets/grey_squares.py").write_text(NEW, encoding="utf-8")
    squares = tmp_path / "squares"
    squares.mkdir()
    for grey in (7, 9):
        Image.fromarray(np.full((32, 32, 3), grey, np.uint8)).save(squares / f"{grey}.png")
    values = PARAMS | {"dataset": {"name": "grey-squares", "path": "squares", "truck": "9.png"}}
    (tmp_path / "params.yaml").write_text(json.dumps(values), encoding="utf-8")

    def run(*command: str, code: int = 0) -> str:
        environment = {"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"}
        done = subprocess.run([sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, env=environment)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    labels, greys, metadata, plans = json.loads(run("-c", PREPARE).splitlines()[0])
    assert labels == [3, 9] and greys == [7, 9]
    assert (metadata["dataset"], metadata["family"]) == ("grey-squares", "cifar10")
    assert [name for name, code in plans.items() if "datasets.grey_squares" in code] == ["prepare"]
    assert not [name for name in plans["prepare"] if name in ("datasets.mnist", "datasets.cifar10")]
    listed = run("-m", "crossfool", "list", "datasets", "--filter", "grey")
    assert "grey-squares" in listed and "Squares of one grey, 32 px" in listed and "a made folder" in listed
    values["dataset"]["trunk"] = values["dataset"].pop("truck")
    (tmp_path / "params.yaml").write_text(json.dumps(values), encoding="utf-8")
    assert "dataset: unknown key 'trunk'; did you mean truck?" in run("-m", "crossfool", "check", code=2)
    (tmp_path / "params.yaml").write_text(json.dumps(values | {"dataset": {"name": "grey_square"}}), encoding="utf-8")
    assert "unknown name 'grey_square'; did you mean grey-squares" in run("-m", "crossfool", "check", code=2)
