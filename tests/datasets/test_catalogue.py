"""Data sets as parts: the folder is the list, a module declares all about its data set, mistakes are one line."""

import runpy

import pytest
from builders import ROOT
from pydantic import ValidationError

from crossfool.datasets.preparation import catalogue, class_names
from crossfool.datasets.preparation.split import SHAPES
from crossfool.errors import UserError


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
