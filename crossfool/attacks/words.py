"""Texts on parts: sections of a part's docstring filled with a row's values, and bare keys where there are none.

After its first line a part's docstring has `Summary: ...`, what titles say of it; `Evaluations: ...`, the factor of
gradient evaluations as a symbol; `Rows:` with lines `name: text {row}`, rows of params.yaml to copy; `Formula:` with
lines `label: text`; `Attributes:` with lines `key: meaning`. Braces of Summary and Formula hold keys of the part
(`{sigma:g}`) and what the formula before gives (`{point}`, `{gradient}`). All may be left out.
"""

import inspect
import re
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from crossfool.attacks import parts
from crossfool.attacks.part import BasePart

UNREADABLE = (AttributeError, KeyError, ValueError, IndexError, TypeError)  # of a template that does not fit its part


@dataclass(frozen=True)
class Words:
    """The sections of a part's docstring.

    Attributes:
        first: The first line.
        summary: A template; None where the part has none.
        evaluations: A symbol; "" where the part has none.
        rows: (name, text with the row in braces) of each row to copy.
        formula: (label, template) of each line.
        meanings: Key -> meaning.
    """

    first: str
    summary: str | None
    evaluations: str
    rows: tuple[tuple[str, str], ...]
    formula: tuple[tuple[str, str], ...]
    meanings: Mapping[str, str]


def words(part: type[BasePart]) -> Words:
    """Read the docstring of a part."""
    lines = inspect.cleandoc(vars(part).get("__doc__") or "").splitlines()
    single: dict[str, str] = {}
    blocks: dict[str, list[tuple[str, str]]] = {"Rows": [], "Formula": [], "Attributes": []}
    block = None
    for line in lines[1:]:
        head = re.fullmatch(r"(\w+):(.*)", line)
        if head:
            block = blocks.get(head[1])
            single.setdefault(head[1], head[2].strip())
        elif block is not None and (entry := re.fullmatch(r" {4}(\w+): (.*)", line)):
            block.append((entry[1], entry[2].strip()))
        elif block and line.startswith(" " * 8):
            block[-1] = (block[-1][0], f"{block[-1][1]} {line.strip()}")
    first = lines[0].rstrip(".") if lines else ""
    rows, formula = tuple(blocks["Rows"]), tuple(blocks["Formula"])
    summary, evaluations = single.get("Summary"), single.get("Evaluations", "")
    return Words(first, summary, evaluations, rows, formula, dict(blocks["Attributes"]))


def filled(template: str | None, part: BasePart, names: Mapping[str, Any]) -> str | None:
    """A template with the values of a part's keys and of other names; None where it cannot be filled."""

    class Names(dict[str, Any]):
        def __missing__(self, name: str) -> Any:
            return getattr(part, name)

    try:
        return None if template is None else template.format_map(Names(names))
    except UNREADABLE:
        return None


def named_in(*templates: str) -> set[str]:
    """Names in braces of templates; none of a template that is malformed."""
    try:
        return {field for template in templates for _, field, _, _ in string.Formatter().parse(template) if field}
    except ValueError:
        return set()


def bare_keys(part: BasePart, *mentioned: str) -> list[str]:
    """Keys of a part as params.yaml has them, `key: value`, without those that templates mention."""
    given = [key for key in type(part).model_fields if key in part.model_fields_set - named_in(*mentioned)]
    return [f"{key}: {value_text(getattr(part, key))}" for key in given]


def bare_part(part: BasePart) -> str:
    """The name of a part and its keys, as params.yaml has them: `noise: latin, sigma: 15`."""
    named = [] if kind_of(part) == "input" else [f"{kind_of(part)}: {part.part_name()}"]
    return ", ".join([*named, *bare_keys(part)])


def kind_of(part: BasePart) -> str:
    """The kind of a part, a key of `parts.FOLDERS`."""
    return next(kind for kind, base in parts.BASES.items() if isinstance(part, base))


def value_text(value: object) -> str:
    """A value of params.yaml as texts show it."""
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def summaries(row_parts: parts.RowParts) -> Iterator[str]:
    """Summaries of a row's parts for titles, one after another; none of a default update or loss."""
    gradient, noise = row_parts.gradient, row_parts.noise
    names = {} if noise is None else {"noise": _summary(noise, {}, "samples ({})")}
    yield _summary(gradient, names)
    if noise is not None and "noise" not in named_in(words(type(gradient)).summary or ""):
        yield bare_part(noise)
    yield from (_summary(part, {}) for part in row_parts.inputs)
    for part in (row_parts.update, row_parts.loss):
        if part.part_name() != parts.DEFAULTS[kind_of(part)]:
            yield _summary(part, {})


def _summary(part: BasePart, names: Mapping[str, Any], otherwise: str = "{}") -> str:
    """A part's summary with the keys that it does not mention behind it; the bare part where there is none."""
    template = words(type(part)).summary
    text = filled(template, part, names)
    if not template or text is None:
        noise = [names["noise"]] if "noise" in named_in(template or "") else []
        return ", ".join([otherwise.format(bare_part(part)), *noise])
    return ", ".join([text, *bare_keys(part, template)])
