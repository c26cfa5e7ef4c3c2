"""A table of all parts of attacks from their own declarations: names, keys with limits and defaults, texts, papers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from crossfool.attacks import parts, words


@dataclass(frozen=True)
class PartRow:
    """A part of the table.

    Attributes:
        kind, name: Its kind and name, as params.yaml has them.
        what: The first line of its docstring.
        keys: Key -> the values that it takes, and its default.
        meanings: Key -> meaning, as far as its docstring has them.
        rows: (name, text with the row in braces) of each row that its docstring has.
        noise: The noise that it draws where a row has no `noise`; "" for none.
        cite: Its paper.
    """

    kind: str
    name: str
    what: str
    keys: dict[str, str]
    meanings: dict[str, str]
    rows: tuple[tuple[str, str], ...]
    noise: str
    cite: str


def part_rows() -> Iterator[PartRow]:
    """All parts of the package, kind by kind, by name."""
    for kind in parts.FOLDERS:
        for name in parts.package_names(kind):
            part = parts.load(kind, name)
            described: words.Words = words.words(part)
            keys = {key: values_text(field) for key, field in part.model_fields.items()}
            meanings = {key: described.meanings[key] for key in keys if key in described.meanings}
            what, noise = described.first or name, getattr(part, "noise", "")
            yield PartRow(kind, name, what, keys, meanings, described.rows, noise, part.cite)


def values_text(field: FieldInfo) -> str:
    """The values that a key takes: `a whole number, at least 1`, `a number above 0, at most 1, default 0.9`."""
    kinds: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    limits = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    if get_origin(field.annotation) is Literal:
        text = [" or ".join(words.value_text(value) for value in get_args(field.annotation))]
    else:
        text = [kinds.get(field.annotation, str(field.annotation).removeprefix("typing."))]
    for limit in field.metadata:
        given = {word: getattr(limit, name) for name, word in limits.items() if hasattr(limit, name)}
        text += [
            f"{word} {value:g}" for word, value in given.items() if value < 1e6
        ]  # more is no limit in pixel values
    if not field.is_required():
        text.append(f"default {words.value_text(field.default)}")
    return ", ".join(text)
