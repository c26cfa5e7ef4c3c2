"""State dicts in a checkpoint: containers that hold tensors, and the prefixes of their names."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

# Keys, and parts of names, that say nothing but "here are the weights". Of several states that fit, the first is taken.
PLAIN = (
    "state_dict", "model_state_dict", "model_state", "model", "net", "network", "state", "params", "weights", "module",
    "classifier", "backbone", "encoder", "checkpoint",
    "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module",
)  # fmt: skip
# Words of keys that hold a second version of the weights: taken where no plain one fits.
SECOND = {"ema", "swa", "averaged", "average", "shadow", "teacher", "attacker"}
WITHIN = re.compile(r"(?<![^.])(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")  # on any level
LEVELS, DEPTH, EXAMPLES = 6, 4, 3  # of names, of containers, in errors


@dataclass(frozen=True)
class Candidate:
    """Tensors that may be a network's state.

    Attributes:
        place, prefix: As in `Taken`.
        state: Name in the network -> what the file holds.
        rest: What else stands beside them, by its own name.
    """

    place: tuple[str, ...]
    prefix: str
    state: dict[str, Any]
    rest: dict[str, Any]

    @property
    def words(self) -> tuple[str, ...]:
        return (*self.place, *self.prefix.split(".")[:-1])

    @property
    def rank(self) -> tuple[bool, bool, tuple[int, ...]]:
        """Lower is taken first: plain ones before averages, known keys before others."""
        second = any(SECOND & set(re.split(r"[_\W]", word.lower())) for word in self.words)
        order = tuple(PLAIN.index(word) if word in PLAIN else len(PLAIN) for word in self.words)
        return second, not second and len(PLAIN) in order, order

    @property
    def shown(self) -> str:
        prefix = f"names that begin with `{self.prefix}`" if self.prefix else ""
        return " ".join(filter(None, (quoted(self.place) if self.place else "", prefix))) or "the file itself"


def mappings(value: Any, place: tuple[str, ...] = (), seen: set[int] | None = None) -> Iterator[Any]:
    """Every mapping that holds a tensor, and the keys that lead to it."""
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
    place: tuple[str, ...], names: Mapping[Any, Any], own: Mapping[str, Tensor], renamed: Callable[[str], str]
) -> Iterator[Candidate]:
    """What a mapping may hold of a network: the tensors behind each prefix that leads to the network's names."""
    written: dict[str, str] = {}  # name without torch.compile's -> as the file has it
    for key in map(str, names):
        plain = renamed(WITHIN.sub("", key))
        written[plain if plain not in written else key] = key
    values = {str(key): value for key, value in names.items()}
    counted: Counter[str] = Counter()
    for key in written:
        parts = key.split(".")
        heads = (".".join((*parts[:level], "")) if level else "" for level in range(min(len(parts), LEVELS)))
        counted.update(head for head in heads if key[len(head) :] in own)
    needed = [key for key in own if not counts_batches(key)]
    whole = [head for head in counted if all(head + key in written for key in needed)]
    nearest = sorted(counted, key=lambda head: (-counted[head], len(head)))[:1] or [_common(written)]
    heads_taken = whole or nearest
    taken = {head + key for head in heads_taken for key in own}
    for head in heads_taken:
        state = {key: values[written[head + key]] for key in own if head + key in written}
        rest = {key.removeprefix(head): values[name] for key, name in written.items() if key not in taken}
        yield Candidate(place, _prefix(head, written), state, rest)


def _prefix(head: str, written: Mapping[str, str]) -> str:
    """What was taken off the names, as the file has it: with torch.compile's words, wherever they stand."""
    behind = [name for key, name in written.items() if key.startswith(head)]
    parts = re.findall(r"[^.]*\.", behind[0]) if behind else []
    starts = ("".join(parts[:count]) for count in range(len(parts), -1, -1))
    prefix = next((start for start in starts if WITHIN.sub("", start) == head), head)
    within = next((found[0] for name in behind if (found := WITHIN.search(name))), "")
    return prefix or within


def _common(names: Iterable[str]) -> str:
    """The plain words that all names begin with, for an error that shows the names behind them."""
    parts = [name.split(".") for name in names]
    head: list[str] = []
    while parts and all(len(one) > len(head) + 1 and one[len(head)] == parts[0][len(head)] for one in parts):
        if parts[0][len(head)] not in PLAIN:
            break
        head.append(parts[0][len(head)])
    return "".join(f"{word}." for word in head)


def counts_batches(key: str) -> bool:
    """Whether it counts batches, which inference does not use: absent from files of old versions of torch."""
    return key == "num_batches_tracked" or key.endswith(".num_batches_tracked")


def quoted(place: tuple[str, ...]) -> str:
    return f"`{'.'.join(place)}`"


def first_names(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:EXAMPLES]) + (", ..." if len(shown) > EXAMPLES else "")
