"""Rivals of a row at equal cost, and the paired tests against them, from predictions image by image. Imports no torch.

A row's budget is the smallest of `equal_cost.BUDGETS` that its cost fits in. Its rivals are rows of the same table that
cost no more than that budget: the best of them, and the costliest that is momentum alone (mIGSM, the field's baseline).
"""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from crossfool.experiment.results.equal_cost import PairedTest, budget_of
from crossfool.experiment.results.outcomes import counted_images
from crossfool.pipeline.evaluation import predictions_file, success
from crossfool.report.leaderboard.experiment_rows import BoardRow
from crossfool.stats.paired_difference import pooled_difference
from crossfool.stats.paired_tests import compare_pairs, holm_adjusted

BEST, MIGSM = "best", "migsm"  # the roles of a rival
Key = tuple[str, str]  # experiment and attack
Outcomes = Mapping[tuple[str, str], np.ndarray]  # (source, target) -> whether the attack succeeded, (N,) bool


def find_rivals(rows: Sequence[BoardRow], row: BoardRow) -> dict[str, BoardRow]:
    """Role -> a row's rival among the rows of its table; a role without a rival other than the row is left out."""
    budget = budget_of(row.gradients)
    fitting = [other for other in rows if budget is None or other.gradients <= budget]
    found = {BEST: min(fitting, key=lambda other: (-other.success, other.gradients))}
    momentum = [other for other in fitting if other.momentum_alone]
    if momentum:
        found[MIGSM] = max(momentum, key=lambda other: other.gradients)
    return {role: rival for role, rival in found.items() if rival.key != row.key}


def read_outcomes(folder: Path, row: BoardRow) -> Outcomes:
    """Success of a row image by image, on its black-box cells; none where a file of predictions is not there.

    Args:
        folder: The row's experiment.
        row: The row.

    Raises:
        UserError: a file is damaged.
    """
    counted = counted_images(folder, row.of_all)
    found = dict[tuple[str, str], np.ndarray]()
    for source in row.sources:
        path = folder / "predictions" / source / f"{row.attack}.parquet"
        if counted is None or not path.is_file():
            return {}
        top, labels, target_labels = predictions_file.read_cell(path)
        targeted = row.objective == "targeted"
        for target in (name for name in top if name not in source.split("+")):
            outcomes = success.success(top[target], labels, target_labels if targeted else None)
            found[source, target] = outcomes[targeted][counted]
    return found


def paired_tests(
    outcomes: Mapping[Key, Outcomes], rivals: Mapping[Key, Mapping[str, Key]]
) -> dict[Key, dict[str, PairedTest]]:
    """Tests of each row against its rivals, as far as both have outcomes on common cells.

    Args:
        outcomes: Row -> its outcomes, on the same images.
        rivals: Row -> role -> its rival.
    """
    pairs = {
        frozenset((first, second)): compare_pairs(common)
        for first, second in itertools.combinations(outcomes, 2)
        if (common := _common(outcomes[first], outcomes[second]))
    }
    adjusted = dict(zip(pairs, holm_adjusted([pair.p for pair in pairs.values()]), strict=True))
    tests = dict[Key, dict[str, PairedTest]]()
    for key, by_role in rivals.items():
        tests[key] = {}
        for role, rival in by_role.items():
            if frozenset((key, rival)) in pairs:
                found = pooled_difference(_common(outcomes[key], outcomes[rival]))
                p_holm = adjusted[frozenset((key, rival))]
                tests[key][role] = PairedTest(found.points, found.low, found.high, found.p, p_holm)
    return tests


def _common(first: Outcomes, second: Outcomes) -> list[tuple[np.ndarray, np.ndarray]]:
    """The outcomes of two rows on the cells that both have."""
    return [(first[cell], second[cell]) for cell in first if cell in second]
