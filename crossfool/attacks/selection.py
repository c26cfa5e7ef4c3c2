"""The keys of a row's parts checked: each is of some part, used by one that the row has, and none is missing."""

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError

from crossfool.attacks import parts
from crossfool.errors import UserError


def checked_values(values: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a row's parts' keys as the parts take them, in the order of the keys' names.

    Args:
        values: The row's keys that are not those of every row, as params.yaml has them.
        others: Those of every row.

    Raises:
        UserError: a key is not used by the row's parts, or one that they need is missing.
        pydantic.ValidationError: a key is unknown, or a value is none that the part takes.
    """
    given = {key: value for key, value in values.items() if value is not None}
    row = {**others, **given}
    classes = parts.classes_of(row)
    known = {key for part in classes.values() for key in part.model_fields}
    if not set(values) <= known:
        refuse_unknown(values)
    if others.get("noise") is not None and "noise" not in classes:
        raise UserError(_unused("noise", "gradient", _drawing(), classes))
    for key in given:
        if key not in known:
            raise UserError(_unused(key, *_owners(key, classes), classes))
    for kind, part in classes.items():
        for key, field in part.model_fields.items():
            if field.is_required() and key not in given:
                by = "gradient" if kind == "noise" and others.get("noise") is None else kind
                who = f"{by}: {classes[by].part_name()}" if by in parts.FOLDERS else by
                raise UserError(f"{key} is missing; {who} needs it")
    made = parts.make_of(classes, row)
    return {key: getattr(part, key) for part in made for key in type(part).model_fields if key in given}


def refuse_unknown(values: Mapping[str, Any], excepted: Collection[str] = ()) -> None:
    """Refuse keys that no part has, and some that are given elsewhere.

    Raises:
        pydantic.ValidationError: as of a key that a section does not have.
    """
    for name in parts.names("input"):
        if values.get(name) is not None:
            parts.load("input", name)  # so that keys of one of the user's own are known
    all_keys = set(parts.key_names()) if values else set()
    for key in values:
        if key not in all_keys - set(excepted):
            error: Any = {"type": "extra_forbidden", "loc": (str(key),), "input": values[key]}
            raise ValidationError.from_exception_data("Attack", [error])


def seed_message() -> str:
    """The error for a seed where nothing is drawn."""
    random = [name for name, part in parts.every("input").items() if part.random]
    gradients = [name for name, part in parts.every("gradient").items() if part.random or part.noise]
    return (
        f"seed is used only with gradient: {_joined(gradients)}, or with {_joined(random)}, and nothing is drawn here; "
        "remove seed"
    )


def _owners(key: str, classes: Mapping[str, type[Any]]) -> tuple[str, list[str]]:
    """The kind of the parts that have a key, and their names; where nothing is drawn, gradients for a key of noise."""
    found = {
        kind: [name for name, part in parts.every(kind).items() if key in part.model_fields] for kind in parts.FOLDERS
    }
    kind = next(kind for kind, names in found.items() if names)
    if kind == "noise" and "noise" not in classes:
        return "gradient", _drawing()
    return kind, found[kind]


def _drawing() -> list[str]:
    """Names of the gradients that draw noise."""
    return [name for name, part in parts.every("gradient").items() if part.noise]


def _unused(key: str, kind: str, names: list[str], classes: Mapping[str, type[Any]]) -> str:
    choices = _joined(names)
    if kind == "input":
        return f"{key} is used only with {choices}; remove {key} or give {choices}"
    return (
        f"{key} is used only with {kind}: {choices}, and here {kind} is {classes[kind].part_name()}; "
        f"remove {key} or set {kind}: {choices}"
    )


def _joined(names: list[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last
