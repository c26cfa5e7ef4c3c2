"""Lines along an axis of the grids: attacks that are alike but in one setting."""

from collections.abc import Sequence
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


def best_value(evidence: Evidence, lines: Sequence[Line]) -> tuple[float, dict[float, list[OutcomePair]]]:
    """The most successful value of the lines' axis, and its pairs of outcomes with each value.

    Returns:
        The best value, and value -> pairs of the best value's outcome and that value's.
    """
    values = sorted(set.intersection(*map(set, lines)))
    best = max(values, key=lambda value: np.mean([evidence.rate(line[value]) for line in lines]))
    return best, {
        value: [pair for line in lines for pair in evidence.against(line[best], line[value])] for value in values
    }
