"""Published state dicts: found in what training scripts save, and loaded where they fit a network exactly.

A script saves the state under a key (`state_dict`, `model`, `ema`), its names behind those of wrappers (`module.` of
DataParallel, `_orig_mod.` of torch.compile), sometimes with the normalisation of its images, or a second copy of the
network, beside it. What is left out never holds a weight of the network's: names and shapes have to agree.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from crossfool.errors import UserError

# Keys, and parts of names, that say nothing but "here are the weights". Of several states that fit, the first is taken.
PLAIN = (
    "state_dict", "model_state_dict", "model_state", "model", "net", "network", "state", "params", "weights", "module",
    "classifier", "backbone", "encoder", "checkpoint",
    "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module",
)  # fmt: skip
# Words of keys that hold a second version of the weights: taken where no plain one fits.
SECOND = {"ema", "swa", "averaged", "average", "shadow", "teacher", "attacker"}
WITHIN = re.compile(r"(?<![^.])(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")  # on any level
NORMALISATION = {
    "mean": re.compile(r"(?:^|\.)(?:(?:new_|pixel_|image_|img_|input_|_)?mean|mu)$"),
    "std": re.compile(r"(?:^|\.)(?:(?:new_|pixel_|image_|img_|input_|_)?std|sigma)$"),
}
COUNTS = {"n_averaged", "num_updates", "decay", "step", "global_step", "epoch", "iteration"}  # of one number
LEVELS, DEPTH, EXAMPLES = 6, 4, 3  # of names, of containers, in errors


@runtime_checkable
class Adapting(Protocol):
    """A network whose published weights have other shapes than its own."""

    def adapted(self, state: dict[str, Tensor]) -> dict[str, Tensor]: ...


@dataclass(frozen=True)
class Taken:
    """Where a network's state was found.

    Attributes:
        place: Keys that led to it.
        prefix: Taken off the names; "" where nothing was.
        normalisation: `mean` and `std` of pixels 0..255, a number a channel; empty where the file holds none.
        left: Names that were left out and are no weights.
        others: Places of other states that fit.
    """

    place: tuple[str, ...]
    prefix: str
    normalisation: dict[str, list[float]]
    left: tuple[str, ...]
    others: tuple[str, ...]

    def told(self, file: str) -> str:
        """A line's rest that says what was taken off; "" where the file is the state dict as it is."""
        under = f"the state under {_shown(self.place)}" if self.place else ""
        if self.prefix:
            said = f"took `{self.prefix}` off the names in {file}" + (f", {under[4:]}" if under else "")
        else:
            said = f"took {under} in {file}" if under else ""
        if self.normalisation:
            said += f"{'; ' if said else f'{file}: '}the file's own normalisation is taken"
        if self.left:
            said += f"{'; ' if said else f'{file}: '}left out {_some(self.left)}"
        if self.others:
            said += f"{'; ' if said else f'{file}: '}not taken, though it fits: {', '.join(self.others)}"
        return said


@dataclass(frozen=True)
class Found:
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
        return " ".join(filter(None, (_shown(self.place) if self.place else "", prefix))) or "the file itself"


def load_published(
    name: str,
    network: nn.Module,
    checkpoint: Mapping[str, Any],
    *,
    channels: int = 3,
    renamed: Callable[[str], str] = str,
) -> Taken:
    """Load a published state dict into a network, in place.

    Args:
        name: The model's, for errors.
        network: Whose weights are wanted.
        checkpoint: What the file holds: the state dict, or nested containers with it somewhere in them.
        channels: Of the images: so many means and deviations has a normalisation.
        renamed: Today's name of a tensor that was published under another.

    Returns:
        Where the state was found.

    Raises:
        UserError: no state in the file fits, or several do and nothing says which is meant; what is missing, not
            expected or of another shape is counted, the first named.
    """
    own = network.state_dict()
    found = [one for place, names in _mappings(checkpoint) for one in _candidates(place, names, own, renamed)]
    fitting = sorted((one for one in found if not _misfits(one, network, own)), key=lambda one: one.rank)
    if not fitting:
        raise _refused(name, network, own, found, checkpoint)
    best = fitting[0]
    rivals = [one for one in fitting[1:] if one.rank[:2] == best.rank[:2]] if best.rank[1] else []
    if any(not _equal(best.state, one.state) for one in rivals):
        places = ", ".join(one.shown for one in (best, *rivals)[:EXAMPLES])
        count = len(rivals) + 1
        raise UserError(
            f"{name}: weights: {count} states fit ({places}), and nothing says which is meant; save that one alone"
        )
    normalisation, left = _beside(name, best, channels)
    state = _adapted(network, best.state)
    network.load_state_dict({key: state.get(key, tensor) for key, tensor in own.items()})
    others = tuple(one.shown for one in fitting[1:] if not _equal(best.state, one.state))
    return Taken(best.place, best.prefix, normalisation, left, others)


def _mappings(value: Any, place: tuple[str, ...] = (), seen: set[int] | None = None) -> Iterator[Any]:
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
                yield from _mappings(inner, (*place, str(key)), seen)
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            if isinstance(inner, Mapping):
                yield from _mappings(inner, (*place, str(number)), seen)


def _candidates(
    place: tuple[str, ...], names: Mapping[Any, Any], own: Mapping[str, Tensor], renamed: Callable[[str], str]
) -> Iterator[Found]:
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
    needed = [key for key in own if not _counts(key)]
    whole = [head for head in counted if all(head + key in written for key in needed)]
    nearest = sorted(counted, key=lambda head: (-counted[head], len(head)))[:1] or [_common(written)]
    heads_taken = whole or nearest
    taken = {head + key for head in heads_taken for key in own}
    for head in heads_taken:
        state = {key: values[written[head + key]] for key in own if head + key in written}
        rest = {key.removeprefix(head): values[name] for key, name in written.items() if key not in taken}
        yield Found(place, _prefix(head, written), state, rest)


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


def _counts(key: str) -> bool:
    """Whether it counts batches, which inference does not use: absent from files of old versions of torch."""
    return key == "num_batches_tracked" or key.endswith(".num_batches_tracked")


def _kind(key: str, value: Any) -> str | None:
    """Which normalisation a tensor beside the weights is: `mean`, `std`, or none."""
    if not isinstance(value, Tensor) or value.is_nested or value.layout != torch.strided or value.is_meta:
        return None
    if value.numel() > 4 or not value.is_floating_point():
        return None
    return next((kind for kind, pattern in NORMALISATION.items() if pattern.search(key)), None)


def _aside(key: str, value: Any) -> bool:
    """Whether something beside the weights is none: a normalisation, a count, or no tensor at all."""
    if not isinstance(value, Tensor):
        return True
    if value.is_nested:
        return False
    return _kind(key, value) is not None or (value.ndim < 2 and value.numel() == 1 and key.split(".")[-1] in COUNTS)


def _odd(key: str, value: Tensor, own: Tensor) -> str:
    """Why a tensor cannot be a network's weight, whatever its shape; "" where it can."""
    if type(value) not in (Tensor, nn.Parameter):  # spread over processes, packed by a quantiser, ...
        return f"is a {type(value).__name__}"
    if value.is_quantized:
        return f"is quantised ({value.dtype})"
    if value.is_nested or value.layout != torch.strided:
        return f"is no dense tensor ({'nested' if value.is_nested else value.layout})"
    if value.is_meta:
        return "has no values (device meta)"
    alike = value.is_floating_point() == own.is_floating_point() and not value.is_complex()
    return "" if alike or (_counts(key) and not value.is_complex()) else f"is {value.dtype}"


def _adapted(network: nn.Module, state: dict[str, Any]) -> dict[str, Any]:
    return network.adapted(state) if isinstance(network, Adapting) else state


@dataclass(frozen=True)
class Misfit:
    """A name that does not fit: `kind` (missing, extra, shape, or of another kind), and what is wrong in words."""

    kind: str
    key: str
    words: str

    @property
    def short(self) -> str:
        return self.words if self.kind == "shape" else self.key


def _misfits(one: Found, network: nn.Module, own: Mapping[str, Tensor]) -> list[Misfit]:
    for key, value in one.state.items():
        if not isinstance(value, Tensor):
            return [Misfit("kind", key, f"{key} is a {type(value).__name__}, expected a tensor")]
        why = _odd(key, value, own[key])
        if why:
            wanted = f"expected a dense tensor of {str(own[key].dtype).removeprefix('torch.')}"
            return [Misfit("kind", key, f"{key} {why}, {wanted}; convert it and save the state dict again")]
    state = _adapted(network, one.state)
    found = []
    for key, tensor in own.items():
        expected, shape = tuple(tensor.shape), tuple(state[key].shape) if key in state else None
        if shape is not None and shape != expected:
            found.append(Misfit("shape", key, f"{key} has shape {shape}, expected {expected}"))
        elif shape is None and not _counts(key):
            found.append(Misfit("missing", key, f"{key} is missing, expected with shape {expected}"))
    for key, value in one.rest.items():
        if not _aside(key, value):
            shown = "" if value.is_nested else f" of shape {tuple(value.shape)}"
            found.append(Misfit("extra", key, f"{key}{shown} is not expected at all"))
    return found


def _refused(
    name: str, network: nn.Module, own: Mapping[str, Tensor], found: list[Found], checkpoint: Mapping[str, Any]
) -> UserError:
    """Why no state fits: of the one that is nearest, the first misfit, and how many there are of each kind."""
    if not found:
        given = checkpoint.get("state_dict", checkpoint)
        if not isinstance(given, Mapping):
            return UserError(f"{name}: state_dict is a {type(given).__name__}, expected tensors by name")
        keys = f"its keys are {_some(map(str, checkpoint))}" if checkpoint else "it is empty"
        return UserError(f"{name}: weights: the file holds no tensors by name ({keys}), expected a state dict")
    best = max(found, key=lambda one: (len(one.state), len(one.rest)))
    wrong = _misfits(best, network, own)
    first = f"{name}: weights: {wrong[0].words}"
    if wrong[0].kind == "kind":
        return UserError(first)
    said = []
    for kind, words in (("missing", "missing"), ("extra", "not expected"), ("shape", "of another shape")):
        of_kind = [misfit.short for misfit in wrong if misfit.kind == kind]
        said += [f"{len(of_kind)} {words} ({_some(of_kind)})"] if of_kind else []
    where = f" in {best.shown}" if best.words else ""
    total = f"of {len(own)} names{where}: {', '.join(said)}"
    return UserError("; ".join((first, total, _advice(name, best, own, wrong))))


def _advice(name: str, best: Found, own: Mapping[str, Tensor], wrong: list[Misfit]) -> str:
    """What to give in its place: weights for as many classes, or of the same architecture."""
    pairs = [(tuple(best.state[key].shape), tuple(own[key].shape)) for key in own if key in best.state]
    other = [(shape, expected) for shape, expected in pairs if shape != expected]
    classes = {(shape[:1], expected[:1]) for shape, expected in other}
    if len(other) == len(wrong) and len(classes) == 1 and all(a[1:] == b[1:] and a for a, b in other):
        ((found, expected),) = classes
        if expected[0] in (10, 1000):
            return f"these are weights for {found[0]} classes, give those of {name} for {expected[0]}"
    return f"these are the weights of another architecture, give those of {name}"


def _beside(name: str, best: Found, channels: int) -> tuple[dict[str, list[float]], tuple[str, ...]]:
    """The normalisation beside the weights, for pixels 0..255, and the names of what else was left out.

    Raises:
        UserError: a mean or a deviation stands alone, is not one number a channel, or there are several.
    """
    found: dict[str, list[float]] = {}
    left = []
    for key, value in best.rest.items():
        kind = _kind(key, value)
        if kind is None:
            left += [key] if isinstance(value, Tensor) else []
            continue
        values = [float(number) for number in value.flatten()]
        if found.setdefault(kind, values) != values:
            both = f"{key} is {values}, another one {found[kind]}"
            raise UserError(f"{name}: weights: the file holds two normalisations ({both}), expected one")
    if len(found) == 1 or any(len(values) != channels for values in found.values()):
        wanted = {3: "three means and deviations", 1: "one mean and one deviation"}.get(channels, f"{channels} of each")
        raise UserError(f"{name}: weights: the normalisation in the file is {found}, expected {wanted}")
    if found and max(map(abs, (*found["mean"], *found["std"]))) <= 1:  # of pixels 0..1
        found = {kind: [255 * number for number in values] for kind, values in found.items()}
    return found, tuple(left)


def _equal(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return a.keys() == b.keys() and all(bool((a[key] == b[key]).all()) for key in a)


def _shown(place: tuple[str, ...]) -> str:
    return f"`{'.'.join(place)}`"


def _some(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:EXAMPLES]) + (", ..." if len(shown) > EXAMPLES else "")
