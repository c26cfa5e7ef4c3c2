"""Destruction rates of an attack over all its black-box pairs. All rates are percent. Imports no torch."""

from typing import NamedTuple

import numpy as np

from crossfool.experiment.results.metrics import Results
from crossfool.experiment.results.outcomes import Evidence
from crossfool.stats.clustered_rates import clustered_rate


class DestructionRate(NamedTuple):
    """A pooled destruction rate at one level of a transform.

    Attributes:
        level: The transform's level.
        rate, low, high: The rate and its interval, in percent.
        n: The number of pairs of an image and a target that the attack fooled, which the rate rests on.
    """

    level: float
    rate: float
    low: float
    high: float
    n: int


DestructionRates = list[DestructionRate]


def black_box_cells(results: Results, attack: str) -> list[tuple[str, str]]:
    """(source, target) of an attack's black-box cells: the target is no member of the source."""
    return [
        (source, target)
        for (source, name), targets in results.success.items()
        for target, rates in targets.items()
        if name == attack and not rates["whitebox"]
    ]


def pooled_destruction_rates(evidence: Evidence, transform: str) -> dict[str, DestructionRates]:
    """Attack -> its destruction rate at each level, over all black-box pairs; no point where it fooled no target."""
    levels = evidence.experiment.transforms[transform]
    return {
        attack: [point for level in levels if (point := _point(evidence, attack, transform, level)) is not None]
        for attack in evidence.experiment.attacks
    }


def _point(evidence: Evidence, attack: str, transform: str, level: float) -> DestructionRate | None:
    cells = evidence.cells(attack)
    fooled = np.array([evidence.wrong[source, attack, target] for source, target in cells])
    right = np.array([evidence.destroyed[source, attack, target, transform, level] for source, target in cells])
    if not fooled.any():
        return None
    return DestructionRate(level, *clustered_rate((fooled & right).sum(0), fooled.sum(0)), int(fooled.sum()))
