"""Load a published state dict into a network, from whatever a training script saved.

A script saves the state under a key (`state_dict`, `model`, `ema`), its names behind prefixes of wrappers (`module.` of
DataParallel, `_orig_mod.` of torch.compile), sometimes beside the normalisation of its images or a second copy of the
network. No weight of the network is ever left out: names and shapes have to agree exactly.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from crossfool.errors import UserError
from crossfool.models.weights.state_dict_misfits import adapted, misfits, no_fit_error, normalisation_kind
from crossfool.models.weights.state_dict_search import EXAMPLES, Candidate, candidates, first_names, mappings, quoted


@dataclass(frozen=True)
class LoadedState:
    """Place of a network's state in a file, and what stood beside it.

    Attributes:
        place: Keys that lead to the state.
        prefix: Prefix that was taken off the names; "" where none was.
        normalisation: `mean` and `std` for pixels 0..255, a number a channel; empty where the file holds none.
        left_out: Names of tensors that were left out and are no weights.
        others: Places of other states that fit and differ.
    """

    place: tuple[str, ...]
    prefix: str
    normalisation: dict[str, list[float]]
    left_out: tuple[str, ...]
    others: tuple[str, ...]

    def told(self, file: str) -> str:
        """A note on how the state was found in the file; "" where the file is the state dict itself.

        Args:
            file: The file's name, for the note.
        """
        under = f"the state under {quoted(self.place)}" if self.place else ""
        if self.prefix:
            note = f"took `{self.prefix}` off the names in {file}" + (f", {under[4:]}" if under else "")
        else:
            note = f"took {under} in {file}" if under else ""
        if self.normalisation:
            note += f"{'; ' if note else f'{file}: '}the file's own normalisation is taken"
        if self.left_out:
            note += f"{'; ' if note else f'{file}: '}left out {first_names(self.left_out)}"
        if self.others:
            note += f"{'; ' if note else f'{file}: '}not taken, though it fits: {', '.join(self.others)}"
        return note


def load_published(
    name: str,
    network: nn.Module,
    checkpoint: Mapping[str, Any],
    *,
    channels: int = 3,
    renamed: Callable[[str], str] = str,
) -> LoadedState:
    """Load a published state dict into a network, in place.

    Args:
        name: The model's, for errors.
        network: The network that gets the weights.
        checkpoint: The file's content: the state dict, or nested containers with the state dict in one of them.
        channels: Channels of the images, for each of which a normalisation has a mean and a deviation.
        renamed: Today's name of a tensor that was published under another.

    Returns:
        Where in the file the state was.

    Raises:
        UserError: no state in the file fits (names that are missing, not expected or of another shape are counted, the
            first is named), or several do and nothing says which is meant.
    """
    expected = network.state_dict()
    states = [
        state for place, container in mappings(checkpoint) for state in candidates(place, container, expected, renamed)
    ]
    fitting = sorted((state for state in states if not misfits(state, network, expected)), key=lambda state: state.rank)
    if not fitting:
        raise no_fit_error(name, network, expected, states, checkpoint)
    best = fitting[0]
    rivals = [other for other in fitting[1:] if other.rank[:2] == best.rank[:2]] if best.rank[1] else []
    if any(not _equal(best.state, rival.state) for rival in rivals):
        places = ", ".join(state.description for state in (best, *rivals)[:EXAMPLES])
        count = len(rivals) + 1
        raise UserError(
            f"{name}: weights: {count} states fit ({places}), and nothing says which is meant; save that one alone"
        )
    normalisation, left_out = _normalisation(name, best, channels)
    state = adapted(network, best.state)
    network.load_state_dict({key: state.get(key, tensor) for key, tensor in expected.items()})
    others = tuple(other.description for other in fitting[1:] if not _equal(best.state, other.state))
    return LoadedState(best.place, best.prefix, normalisation, left_out, others)


def _normalisation(name: str, best: Candidate, channels: int) -> tuple[dict[str, list[float]], tuple[str, ...]]:
    """The normalisation beside the weights, for pixels 0..255, and the names of the other tensors there.

    Raises:
        UserError: a mean or a deviation stands alone, is not one number a channel, or there are several.
    """
    normalisation: dict[str, list[float]] = {}
    left_out = []
    for key, value in best.rest.items():
        kind = normalisation_kind(key, value)
        if kind is None:
            left_out += [key] if isinstance(value, Tensor) else []
            continue
        values = [float(number) for number in value.flatten()]
        if normalisation.setdefault(kind, values) != values:
            both = f"{key} is {values}, another one {normalisation[kind]}"
            raise UserError(f"{name}: weights: the file holds two normalisations ({both}), expected one")
    if len(normalisation) == 1 or any(len(values) != channels for values in normalisation.values()):
        wanted = {3: "three means and deviations", 1: "one mean and one deviation"}.get(channels, f"{channels} of each")
        raise UserError(f"{name}: weights: the normalisation in the file is {normalisation}, expected {wanted}")
    if normalisation and max(map(abs, (*normalisation["mean"], *normalisation["std"]))) <= 1:  # for pixels 0..1
        normalisation = {kind: [255 * number for number in values] for kind, values in normalisation.items()}
    return normalisation, tuple(left_out)


def _equal(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two states hold the same names with the same values."""
    return a.keys() == b.keys() and all(bool((a[key] == b[key]).all()) for key in a)
