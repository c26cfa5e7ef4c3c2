"""Smoothed attacks and their plain counterparts, and the check of one against the other."""

import itertools
from collections.abc import Callable
from dataclasses import replace

from crossfool.experiment.config import Experiment
from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._instances import departure
from crossfool.report.claims._verdict import Verdict, contrast, joined_unique, not_tested

ALIKE = ("epsilon", "objective", "update", "decay", "fusion")  # parameters in which counterparts agree
STEPS = ("steps", "step_size")
Counterparts = list[tuple[str, str]]  # a smoothed attack and a plain one


def counterparts_of(experiment: Experiment, *same: str) -> Counterparts:
    """Smoothed and plain named attacks that agree in the parameters `same`; none that are later than the paper."""
    rows = {name: row for name, row in experiment.attacks.items() if not row.has_later_parts}
    pairs = itertools.product(
        [name for name, row in rows.items() if row.gradient == "smoothed"],
        [name for name, row in rows.items() if row.gradient == "plain"],
    )
    return [
        (smoothed, plain)
        for smoothed, plain in pairs
        if all(rows[smoothed].value(key) == rows[plain].value(key) for key in same)
    ]


def of_equal_cost(experiment: Experiment) -> Counterparts:
    """Counterparts of equal cost in gradient evaluations."""
    return counterparts_of(experiment, *ALIKE, "gradient_evaluations_per_seed")


def of_equal_steps(experiment: Experiment) -> Counterparts:
    """Counterparts that take the same steps."""
    return counterparts_of(experiment, *ALIKE, *STEPS)


def of_neither(experiment: Experiment) -> Counterparts:
    """Counterparts of other steps and another cost, of attacks that have none of equal cost or steps."""
    equal = (*of_equal_cost(experiment), *of_equal_steps(experiment))
    groups = {_group(experiment, smoothed) for smoothed, _ in equal}
    return [pair for pair in counterparts_of(experiment, *ALIKE) if _group(experiment, pair[0]) not in groups]


def _group(experiment: Experiment, attack: str) -> tuple[object, ...]:
    """The parameters `ALIKE` of an attack."""
    return tuple(experiment.row(attack).value(key) for key in ALIKE)


def smoothed_against_plain(
    evidence: Evidence, counterparts: Counterparts, included: Callable[[str], bool] = lambda source: True
) -> list[Verdict]:
    """Check success of smoothed attacks against their counterparts', from the sources that are included.

    Untargeted attacks (top-1) and targeted ones (top-5) are checked by themselves. Rows that depart from the paper's
    are left out; where nothing is left, the claim is not tested.
    """
    verdicts = []
    for objective in ("untargeted", "targeted"):
        pairs, contrasts, left_out, rows = [], [], [], evidence.experiment.attacks
        for smoothed, plain in counterparts:
            cells = evidence.against(smoothed, plain, included) if rows[smoothed].objective == objective else []
            departing = {name: departure(rows[name]) for name in (smoothed, plain) if departure(rows[name])}
            if cells and departing:
                left_out += [f"{name}: {text}" for name, text in departing.items()]
            elif cells:
                pairs += cells
                gradients = rows[smoothed].gradient_evaluations_per_seed, rows[plain].gradient_evaluations_per_seed
                contrasts.append(f"{smoothed} ({gradients[0]} gradients an image) against {plain} ({gradients[1]})")
        found = contrast(pairs, joined_unique(contrasts))
        if left_out and not found:
            found = [not_tested(f"rows depart from the paper's: {joined_unique(left_out)}", evidence.images)]
        verdicts += [replace(verdict, variant="" if objective == "untargeted" else objective) for verdict in found]
    return verdicts
