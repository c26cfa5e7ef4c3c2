"""Single source models: values that figures 1 and 8 have on their axes, rates by target, pairs of models both ways."""

import itertools
import math

from crossfool.experiment.results.outcomes import Evidence


def error(evidence: Evidence, model: str) -> float:
    """Top-1 error on the whole data set, in percent."""
    return 100 - float(evidence.clean[model]["top1"])


def size(evidence: Evidence, model: str) -> float:
    """Logarithm of the number of parameters."""
    return math.log(evidence.clean[model]["parameters"])


def rates_by_target(evidence: Evidence, attack: str) -> dict[str, dict[str, float]]:
    """Target -> single source -> top-1 success rate in percent, of an attack's black-box cells."""
    rates: dict[str, dict[str, float]] = {}
    for source, target in evidence.single(attack):
        rates.setdefault(target, {})[source] = 100 * float(evidence.hits[source, attack, target].mean())
    return rates


def both_ways(evidence: Evidence) -> list[tuple[str, str, str]]:
    """(attack, model, other model) of untargeted attacks with a cell from either of two single models to the other."""
    ways = []
    for attack in evidence.untargeted:
        cells = set(evidence.single(attack))
        pairs = itertools.combinations(evidence.experiment.sources, 2)
        ways += [(attack, a, b) for a, b in pairs if {(a, b), (b, a)} <= cells]
    return ways
