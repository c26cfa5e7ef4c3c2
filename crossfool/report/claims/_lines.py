"""Lines along an axis of the grids: attacks that are alike but in one setting."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from crossfool.attacks import sweeps
from crossfool.experiment.config import Experiment
from crossfool.experiment.results.outcomes import Evidence
from crossfool.stats.paired_tests import OutcomePair

Line = dict[float, str]  # attacks of a grid that are alike but in one axis: the axis's value, rising -> attack


def lines_along(experiment: Experiment, axis: str) -> list[list[Line]]:
    """The lines along an axis of each grid where it has several values; samples of 0 are the plain gradient."""
    grids = []
    for grid_name in ("a", "b"):
        grid: sweeps.Grid = getattr(experiment.grids, grid_name)
        lines: dict[tuple[Any, ...], Line] = {}
        for attack, row in grid.cells(grid_name).items():
            values = {name: row.value(name) for name in sweeps.AXES}
            if row.gradient == "plain":  # a grid with plain gradients has one sigma
                values |= {"samples": 0, "sigma": grid.sigma[0]}
            value = values.pop(axis)
            lines.setdefault(tuple(values.values()), {})[value] = attack
        several = [dict(sorted(line.items())) for line in lines.values() if len(line) > 1]
        grids += [several] if several else []
    return grids


def listed(values: Iterable[float]) -> str:
    """Values of an axis in words: "1, 5, 25"."""
    return ", ".join(f"{value:g}" for value in values)


def split_images(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Two halves of n images, drawn with a fixed seed: one to choose a value on, one to test it on."""
    order = np.random.default_rng(0).permutation(n)
    return np.sort(order[: n // 2]), np.sort(order[n // 2 :])


def best_value(
    evidence: Evidence, lines: Sequence[Line], rivals: Sequence[float]
) -> tuple[float, dict[float, list[OutcomePair]]]:
    """The most successful value of the lines' axis that is no rival, on one half of the images; pairs on the other.

    Returns:
        The best value, and rival -> pairs of the best value's outcomes and the rival's, on the images not chosen on.
    """
    chosen_on, tested_on = split_images(evidence.images)
    candidates = [value for value in sorted(set.intersection(*map(set, lines))) if value not in rivals]

    def success(value: float) -> float:
        cells = [(line[value], *cell) for line in lines for cell in evidence.cells(line[value])]
        return float(np.mean([evidence.success(source, name, target)[chosen_on] for name, source, target in cells]))

    best = max(candidates, key=success)
    pairs = {
        rival: [(a[tested_on], b[tested_on]) for line in lines for a, b in evidence.against(line[best], line[rival])]
        for rival in rivals
    }
    return best, pairs
