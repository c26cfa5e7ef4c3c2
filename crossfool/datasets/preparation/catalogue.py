"""The data sets by name: each module of `crossfool/datasets` that does not begin with `_` is one.

The module's name is the data set's, with _ for -; it is loaded when params.yaml names it.
"""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crossfool.datasets.preparation.dataset import Dataset
from crossfool.errors import unknown_name
from crossfool.part_files import part_names

_FOLDER = Path(__file__).parents[1]


def names() -> list[str]:
    """Names of all data sets, sorted."""
    return sorted(name.replace("_", "-") for name in part_names(_FOLDER))


def module_name(name: str) -> str:
    """Dotted name of the module that declares a data set."""
    return f"crossfool.datasets.{name.replace('-', '_')}"


def find(name: object) -> type[Dataset]:
    """The declaration of a data set.

    Raises:
        UserError: there is no data set of that name.
    """
    if not isinstance(name, str) or name not in names():
        raise unknown_name("name", name, names())
    part: type[Dataset] = importlib.import_module(module_name(name)).Part
    return part


def from_row(row: Mapping[Any, Any]) -> Dataset:
    """Make a data set of its row in params.yaml; a key whose value is null counts as left out.

    Raises:
        ValueError: the name is missing or unknown, or a key is missing, unknown, of another data set, or has a value
            that is not valid.
    """
    if row.get("name") is None:
        raise ValueError(f"name is missing; valid: {', '.join(names())}")
    part = find(row["name"])
    for key, value in row.items():
        if key not in part.model_fields:
            _refuse_key(key, value, part, str(row["name"]))
    given = {key: value for key, value in row.items() if value is not None and key in part.model_fields}
    for key, meaning in part.keys().items():
        if part.model_fields[key].is_required() and key not in given:
            raise ValueError(f"{key} is missing; {row['name']} needs {meaning[:1].lower()}{meaning[1:]}")
    return part.model_validate(given)


def make_dataset(name: str, **keys: Any) -> Dataset:
    """Make a data set of its name and keys, as `from_row` does: `make_dataset("imagefolder", path="photos")`."""
    return from_row({"name": name, **keys})


def _refuse_key(key: object, value: object, part: type[Dataset], name: str) -> None:
    """Refuse a key that a data set has not, unless it is another's and its value is null.

    Raises:
        ValueError: the key is unknown, or another data set's.
    """
    users = [other for other in names() if key in find(other).model_fields]
    if not users:
        raise unknown_name("key", key, part.model_fields)
    if value is not None:
        raise ValueError(f"{key} is used by {', '.join(users)}, not by {name}; remove it")
