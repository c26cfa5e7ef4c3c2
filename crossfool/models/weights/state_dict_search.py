"""Search of a checkpoint for state dicts: containers that hold tensors, and prefixes of the tensors' names."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

# Keys and prefixes that mean no more than "here are the weights". Where several states fit, the earliest is taken.
PLAIN = (
    "state_dict", "model_state_dict", "model_state", "model", "net", "network", "state", "params", "weights", "module",
    "classifier", "backbone", "encoder", "checkpoint",
    "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module",
)  # fmt: skip
# Parts of keys that mean a second version of the weights: taken where no plain version fits.
SECOND = {"ema", "swa", "averaged", "average", "shadow", "teacher", "attacker"}
WITHIN = re.compile(r"(?<![^.])(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")  # on any level
LEVELS, DEPTH, EXAMPLES = 6, 4, 3  # of names, of containers, in errors


@dataclass(frozen=True)
class Candidate:
    """Tensors that may be a network's state.

    Attributes:
        place: As in `state_dicts.LoadedState`.
        prefix: As in `state_dicts.LoadedState`.
        state: Name in the network -> value in the file.
        rest: All other values in the same container, by name.
    """

    place: tuple[str, ...]
    prefix: str
    state: dict[str, Any]
    rest: dict[str, Any]

    @property
    def path(self) -> tuple[str, ...]:
        """The keys, then the parts of the prefix, that lead to the tensors."""
        return (*self.place, *self.prefix.split(".")[:-1])

    @property
    def rank(self) -> tuple[bool, bool, tuple[int, ...]]:
        """Sorting key, lower is taken first: plain versions before averages, known keys before others."""
        second = any(SECOND & set(re.split(r"[_\W]", part.lower())) for part in self.path)
        order = tuple(PLAIN.index(part) if part in PLAIN else len(PLAIN) for part in self.path)
        return second, not second and len(PLAIN) in order, order

    @property
    def description(self) -> str:
        """The place of the tensors in the file, for messages."""
        prefix = f"names that begin with `{self.prefix}`" if self.prefix else ""
        return " ".join(filter(None, (quoted(self.place) if self.place else "", prefix))) or "the file itself"


def mappings(value: Any, place: tuple[str, ...] = (), seen: set[int] | None = None) -> Iterator[Any]:
    """Every mapping in a checkpoint that holds a tensor, with the keys that lead to it."""
    seen = set() if seen is None else seen
    if id(value) in seen or len(place) > DEPTH:
        return
    seen.add(id(value))
    if isinstance(value, Mapping):
        if any(isinstance(inner, Tensor) for inner in value.values()):
            yield place, value
        for key, inner in value.items():
            if isinstance(inner, Mapping | list | tuple):
                yield from mappings(inner, (*place, str(key)), seen)
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            if isinstance(inner, Mapping):
                yield from mappings(inner, (*place, str(number)), seen)


def candidates(
    place: tuple[str, ...], container: Mapping[Any, Any], expected: Mapping[str, Tensor], renamed: Callable[[str], str]
) -> Iterator[Candidate]:
    """The states that a mapping may hold: the tensors behind each prefix that leads to the network's names.

    Args:
        place: Keys that lead to the mapping.
        container: The mapping.
        expected: The network's own state dict.
        renamed: Today's name of a tensor that was published under another.
    """
    names: dict[str, str] = {}  # name without torch.compile's prefixes -> name in the file
    for key in map(str, container):
        plain = renamed(WITHIN.sub("", key))
        names[plain if plain not in names else key] = key
    values = {str(key): value for key, value in container.items()}
    counted: Counter[str] = Counter()
    for key in names:
        parts = key.split(".")
        heads = (".".join((*parts[:level], "")) if level else "" for level in range(min(len(parts), LEVELS)))
        counted.update(head for head in heads if key[len(head) :] in expected)
    needed = [key for key in expected if not counts_batches(key)]
    complete = [head for head in counted if all(head + key in names for key in needed)]
    nearest = sorted(counted, key=lambda head: (-counted[head], len(head)))[:1] or [_common_prefix(names)]
    heads_used = complete or nearest
    weights = {head + key for head in heads_used for key in expected}
    for head in heads_used:
        state = {key: values[names[head + key]] for key in expected if head + key in names}
        rest = {key.removeprefix(head): values[name] for key, name in names.items() if key not in weights}
        yield Candidate(place, _prefix_in_file(head, names), state, rest)


def _prefix_in_file(head: str, names: Mapping[str, str]) -> str:
    """The prefix `head` as the file has it: with torch.compile's prefixes, wherever they stand."""
    behind = [name for key, name in names.items() if key.startswith(head)]
    parts = re.findall(r"[^.]*\.", behind[0]) if behind else []
    starts = ("".join(parts[:count]) for count in range(len(parts), -1, -1))
    prefix = next((start for start in starts if WITHIN.sub("", start) == head), head)
    within = next((match[0] for name in behind if (match := WITHIN.search(name))), "")
    return prefix or within


def _common_prefix(names: Iterable[str]) -> str:
    """The prefix of plain parts that all names share, for an error that shows the names behind it."""
    parts = [name.split(".") for name in names]
    head: list[str] = []
    while parts and all(len(name) > len(head) + 1 and name[len(head)] == parts[0][len(head)] for name in parts):
        if parts[0][len(head)] not in PLAIN:
            break
        head.append(parts[0][len(head)])
    return "".join(f"{part}." for part in head)


def counts_batches(key: str) -> bool:
    """Whether a tensor counts batches, which inference does not use, and files of old versions of torch lack."""
    return key == "num_batches_tracked" or key.endswith(".num_batches_tracked")


def quoted(place: tuple[str, ...]) -> str:
    """Keys joined by dots, in backquotes."""
    return f"`{'.'.join(place)}`"


def first_names(names: Iterable[str]) -> str:
    """The first few names of a list, for an error."""
    shown = list(names)
    return ", ".join(shown[:EXAMPLES]) + (", ..." if len(shown) > EXAMPLES else "")
