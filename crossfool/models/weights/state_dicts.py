"""Published state dicts: found in what training scripts save, and loaded where they fit a network exactly.

A script saves the state under a key (`state_dict`, `model`, `ema`), its names behind those of wrappers (`module.` of
DataParallel, `_orig_mod.` of torch.compile), sometimes with the normalisation of its images, or a second copy of the
network, beside it. What is left out never holds a weight of the network's: names and shapes have to agree.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from crossfool.errors import UserError
from crossfool.models.weights.state_dict_misfits import adapted, misfits, no_state_fits, normalisation_kind
from crossfool.models.weights.state_dict_search import EXAMPLES, Candidate, candidates, first_names, mappings, quoted


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
        under = f"the state under {quoted(self.place)}" if self.place else ""
        if self.prefix:
            said = f"took `{self.prefix}` off the names in {file}" + (f", {under[4:]}" if under else "")
        else:
            said = f"took {under} in {file}" if under else ""
        if self.normalisation:
            said += f"{'; ' if said else f'{file}: '}the file's own normalisation is taken"
        if self.left:
            said += f"{'; ' if said else f'{file}: '}left out {first_names(self.left)}"
        if self.others:
            said += f"{'; ' if said else f'{file}: '}not taken, though it fits: {', '.join(self.others)}"
        return said


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
    found = [one for place, names in mappings(checkpoint) for one in candidates(place, names, own, renamed)]
    fitting = sorted((one for one in found if not misfits(one, network, own)), key=lambda one: one.rank)
    if not fitting:
        raise no_state_fits(name, network, own, found, checkpoint)
    best = fitting[0]
    rivals = [one for one in fitting[1:] if one.rank[:2] == best.rank[:2]] if best.rank[1] else []
    if any(not _equal(best.state, one.state) for one in rivals):
        places = ", ".join(one.shown for one in (best, *rivals)[:EXAMPLES])
        count = len(rivals) + 1
        raise UserError(
            f"{name}: weights: {count} states fit ({places}), and nothing says which is meant; save that one alone"
        )
    normalisation, left = _beside(name, best, channels)
    state = adapted(network, best.state)
    network.load_state_dict({key: state.get(key, tensor) for key, tensor in own.items()})
    others = tuple(one.shown for one in fitting[1:] if not _equal(best.state, one.state))
    return Taken(best.place, best.prefix, normalisation, left, others)


def _beside(name: str, best: Candidate, channels: int) -> tuple[dict[str, list[float]], tuple[str, ...]]:
    """The normalisation beside the weights, for pixels 0..255, and the names of what else was left out.

    Raises:
        UserError: a mean or a deviation stands alone, is not one number a channel, or there are several.
    """
    found: dict[str, list[float]] = {}
    left = []
    for key, value in best.rest.items():
        kind = normalisation_kind(key, value)
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
