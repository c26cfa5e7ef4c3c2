"""Smoothed attacks and their plain counterparts, and the check of one against the other."""

import itertools
from collections.abc import Callable
from dataclasses import replace

from crossfool.experiment.config import Experiment
from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._instances import departure
from crossfool.report.claims._verdict import Verdict, contrast, joined_unique, not_tested
from crossfool.stats.paired_tests import OutcomePair

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

    Untargeted attacks (top-1) and targeted ones (top-5) are checked by themselves.
    """
    rows, verdicts = evidence.experiment.attacks, []

    def costs(smoothed: str, plain: str) -> str:
        gradients = rows[smoothed].gradient_evaluations_per_seed, rows[plain].gradient_evaluations_per_seed
        return f"{smoothed} ({gradients[0]} gradients an image) against {plain} ({gradients[1]})"

    for objective in ("untargeted", "targeted"):
        alike = [pair for pair in counterparts if rows[pair[0]].objective == objective]
        found = contrast_of_papers(evidence, alike, lambda a, b: evidence.against(a, b, included), costs)
        verdicts += [replace(verdict, variant="" if objective == "untargeted" else objective) for verdict in found]
    return verdicts


def contrast_of_papers(
    evidence: Evidence,
    counterparts: Counterparts,
    outcomes: Callable[[str, str], list[OutcomePair]],
    described: Callable[[str, str], str],
) -> list[Verdict]:
    """Check outcomes of smoothed attacks against their counterparts', of the paper's rows alone.

    Rows that depart from the paper's are left out; where nothing is left, the claim is not tested.

    Args:
        evidence: The experiment's outcomes.
        counterparts: The attacks.
        outcomes: (smoothed, plain) -> outcomes of both on each cell that is compared.
        described: (smoothed, plain) -> what is compared, in words.
    """
    rows = evidence.experiment.attacks
    pairs, contrasts, left_out = [], [], []
    for smoothed, plain in counterparts:
        cells = outcomes(smoothed, plain)
        departing = [f"{name}: {text}" for name in (smoothed, plain) if cells and (text := departure(rows[name]))]
        if departing:
            left_out += departing
        elif cells:
            pairs += cells
            contrasts.append(described(smoothed, plain))
    if left_out and not pairs:
        return [not_tested(f"rows depart from the paper's: {joined_unique(left_out)}", evidence.images)]
    return contrast(pairs, joined_unique(contrasts))
