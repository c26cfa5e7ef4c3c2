"""A weights file of the project: the state dict, and the account of the model in its metadata."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossfool import first_edition
from crossfool.errors import UserError
from crossfool.storage.tensors import TensorFile, write_tensors

if TYPE_CHECKING:
    from torch import Tensor


def account(file: TensorFile, name: str | None = None) -> dict[str, Any]:
    """What a weights file says of its model (`weights.describe`), checked as far as it is made use of.

    Args:
        file: The file.
        name: Whose weights it is to hold; anybody's, where not given.

    Raises:
        UserError: it says nothing, something that describes no model, or is another model's.
    """
    about = file.said_json("model")
    if isinstance(about.get("library"), str):
        about["library"] = first_edition.current(about["library"])

    def number(value: Any, least: float) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and least <= value < 1e6

    def numbers(value: Any, least: float) -> bool:
        channels = 1 if about["family"] == "mnist" else 3
        return isinstance(value, list) and len(value) == channels and all(number(one, least) for one in value)

    right: dict[str, Callable[[Any], bool]] = {
        **dict.fromkeys(("name", "family", "library", "published_preprocessing"), lambda value: isinstance(value, str)),
        "mean": lambda value: numbers(value, -1e6),
        "std": lambda value: numbers(value, 1e-6),
        "side": lambda value: isinstance(value, int) and number(value, 1),
        "interpolation": lambda value: value in ("bilinear", "bicubic"),
        "published_top1": lambda value: value is None or number(value, 0),
    }
    for key, fits in right.items():
        if key not in about:
            raise UserError(f"{file.path}: its metadata lacks {key!r} of the model; delete it and run `dvc repro`")
        if not fits(about[key]):
            shown = ascii(about[key])[:60]
            raise UserError(f"{file.path}: {key} of its model cannot be {shown}; delete it and run `dvc repro`")
    if name is not None and about["name"] != name:
        raise UserError(f"{file.path} holds the weights of {about['name'][:60]!r}; delete it and run `dvc repro`")
    return about


def write(path: Path, state: Mapping[str, "Tensor"], about: Mapping[str, Any]) -> None:
    """Write a weights file: the state dict, and the account of the model as JSON in the metadata."""
    tensors = {
        name: (value.float() if value.is_floating_point() else value).detach().cpu().contiguous()
        for name, value in state.items()
    }
    write_tensors(path, tensors, {"model": json.dumps(dict(about), sort_keys=True)})
