"""Weights files of the project: a state dict, and a description of the model in the metadata."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossfool import first_edition
from crossfool.errors import UserError
from crossfool.storage.tensors import TensorFile, write_tensors

if TYPE_CHECKING:
    from torch import Tensor


def read_description(file: TensorFile, name: str | None = None) -> dict[str, Any]:
    """Read and check the description of the model in a weights file's metadata (as `preprocessing.describe` has it).

    Only values that are used are checked.

    Args:
        file: The weights file.
        name: The model whose weights it has to hold; any model's, where not given.

    Raises:
        UserError: a value is missing or cannot be right, or the weights are another model's.
    """
    description = file.metadata_object("model")
    if isinstance(description.get("library"), str):
        description["library"] = first_edition.current(description["library"])

    def is_number(value: Any, least: float) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and least <= value < 1e6

    def are_numbers(value: Any, least: float) -> bool:
        channels = 1 if description["family"] == "mnist" else 3
        return (
            isinstance(value, list) and len(value) == channels and all(is_number(element, least) for element in value)
        )

    checks: dict[str, Callable[[Any], bool]] = {
        **dict.fromkeys(("name", "family", "library", "published_preprocessing"), lambda value: isinstance(value, str)),
        "mean": lambda value: are_numbers(value, -1e6),
        "std": lambda value: are_numbers(value, 1e-6),
        "side": lambda value: isinstance(value, int) and is_number(value, 1),
        "interpolation": lambda value: value in ("bilinear", "bicubic"),
        "published_top1": lambda value: value is None or is_number(value, 0),
    }
    for key, fits in checks.items():
        if key not in description:
            raise UserError(f"{file.path}: its metadata lacks {key!r} of the model; delete it and run `dvc repro`")
        if not fits(description[key]):
            shown = ascii(description[key])[:60]
            raise UserError(f"{file.path}: {key} of its model cannot be {shown}; delete it and run `dvc repro`")
    if name is not None and description["name"] != name:
        raise UserError(f"{file.path} holds the weights of {description['name'][:60]!r}; delete it and run `dvc repro`")
    return description


def write_weights(path: Path, state: Mapping[str, "Tensor"], description: Mapping[str, Any]) -> None:
    """Write a weights file: the state dict, floats as float32, and the description as JSON in the metadata."""
    tensors = {
        name: (value.float() if value.is_floating_point() else value).detach().cpu().contiguous()
        for name, value in state.items()
    }
    write_tensors(path, tensors, {"model": json.dumps(dict(description), sort_keys=True)})
