"""Destruction rates of an attack over all its black-box pairs. All rates are percent. Imports no torch."""

from typing import NamedTuple

import numpy as np

from crossfool.evidence import Evidence
from crossfool.results import Results
from crossfool.stats import rates as stats_rates


class Point(NamedTuple):
    """A destruction rate: of the n pairs of an image and a target that an attack fooled, at a transform's level."""

    level: float
    rate: float
    low: float
    high: float
    n: int


Points = list[Point]


def black_box(results: Results, attack: str) -> list[tuple[str, str]]:
    """Pairs of source and target, the target no member of the source."""
    return [
        (source, target)
        for (source, name), targets in results.success.items()
        for target, rates in targets.items()
        if name == attack and not rates["whitebox"]
    ]


def pooled(evidence: Evidence, transform: str) -> dict[str, Points]:
    """Attack -> its destruction rate at each level, over all black-box pairs; no point where nothing fooled."""
    levels = evidence.experiment.transforms[transform]
    return {
        attack: [point for level in levels if (point := _point(evidence, attack, transform, level)) is not None]
        for attack in evidence.experiment.attacks
    }


def _point(evidence: Evidence, attack: str, transform: str, level: float) -> Point | None:
    cells = evidence.cells(attack)
    fooled = np.array([evidence.wrong[source, attack, target] for source, target in cells])
    right = np.array([evidence.destroyed[source, attack, target, transform, level] for source, target in cells])
    if not fooled.any():
        return None
    return Point(level, *clustered((fooled & right).sum(0), fooled.sum(0)), int(fooled.sum()))


def clustered(destroyed: np.ndarray, fooled: np.ndarray) -> tuple[float, float, float]:
    """The share of the fooled that are destroyed, and its 95% interval, in percent; images are drawn, not pairs.

    Wilson's interval for as many independent pairs as tell as much: their number divided by the design effect, the
    ratio estimator's variance over images to the binomial one, but at least 1 (Korn and Graubard, Survey Methodology
    24, 1998). Where all pairs are destroyed, or none, it is the number of images.

    Args:
        destroyed, fooled: Of an image's pairs, (N,) whole numbers; at least one is fooled.
    """
    some = fooled > 0
    destroyed, fooled = destroyed[some], fooled[some]
    images, pairs, share = len(fooled), int(fooled.sum()), destroyed.sum() / fooled.sum()
    count = float(images)
    if 0 < share < 1 and images > 1:
        variance = images / (images - 1) * float(((destroyed - share * fooled) ** 2).sum()) / pairs**2
        count = pairs / max(1.0, variance / (share * (1 - share) / pairs))
    low, high = stats_rates.wilson_share(float(share), pairs if fooled.max() == 1 else count)
    return round(100 * float(share), 4), round(100 * low, 4), round(100 * high, 4)
