"""Smoothed attacks and their plain counterparts, and the check of one against the other."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from crossfool.experiment.config import Experiment
from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._every import every
from crossfool.report.claims._instances import departure, departures
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


def of_any_kind(experiment: Experiment) -> Counterparts:
    """Counterparts of equal cost, of equal steps, and of neither where there is nothing better."""
    kinds = (of_equal_cost, of_equal_steps, of_neither)
    return list(dict.fromkeys(pair for kind in kinds for pair in kind(experiment)))


def _group(experiment: Experiment, attack: str) -> tuple[object, ...]:
    """The parameters `ALIKE` of an attack."""
    return tuple(experiment.row(attack).value(key) for key in ALIKE)


def smoothed_against_plain(
    evidence: Evidence, counterparts: Counterparts, included: Callable[[str], bool] = lambda source: True
) -> list[Verdict]:
    """Check success of smoothed attacks against their counterparts', from the sources that are included.

    Untargeted attacks (top-1) and targeted ones (top-5) are checked by themselves.
    """
    rows = evidence.experiment.attacks

    def costs(smoothed: str, plain: str) -> str:
        gradients = rows[smoothed].gradient_evaluations_per_seed, rows[plain].gradient_evaluations_per_seed
        return f"{smoothed} ({gradients[0]} gradients an image) against {plain} ({gradients[1]})"

    return [
        replace(verdict, variant=variant)
        for variant, alike in by_objective(evidence.experiment, counterparts)
        for verdict in contrast_of_papers(evidence, alike, lambda a, b: evidence.against(a, b, included), costs)
    ]


def smoothed_against_plain_by_part(
    evidence: Evidence, part: Callable[[str, str, str, str], str], noun: str
) -> list[Verdict]:
    """Check that smoothed attacks succeed more often than their counterparts in each part of the cells by itself.

    Untargeted attacks (top-1) and targeted ones (top-5) are checked by themselves, of the paper's rows alone, where
    they have several parts: a single part is what the claims on means are about, which say what was left out, too.

    Args:
        evidence: The experiment's outcomes.
        part: (smoothed, plain, source, target) -> the part's name.
        noun: The plural noun for parts.
    """
    verdicts = []
    for variant, alike in by_objective(evidence.experiment, of_any_kind(evidence.experiment)):
        kept, _, varied = instances(evidence.experiment, alike)
        parts: dict[str, list[OutcomePair]] = {}
        for pair in kept:
            for cell, outcomes in zip(evidence.common(*pair), evidence.against(*pair), strict=True):
                parts.setdefault(part(*pair, *cell), []).append(outcomes)
        if len(parts) > 1:
            verdicts.append(replace(every(parts, f"smoothed against plain{varied}", noun), variant=variant))
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
    with_cells = [(pair, cells) for pair in counterparts if (cells := outcomes(*pair))]
    kept, left_out, varied = instances(evidence.experiment, [pair for pair, _ in with_cells])
    if left_out and not kept:
        return [not_of_the_paper(evidence, left_out)]
    pairs = [cell for pair, cells in with_cells if pair in kept for cell in cells]
    return contrast(pairs, joined_unique(described(*pair) for pair in kept) + varied)


def by_objective(experiment: Experiment, counterparts: Counterparts) -> Iterator[tuple[str, Counterparts]]:
    """Divide counterparts into untargeted and targeted ones, with the variant of a claim on each: "" or "targeted"."""
    for variant, objective in (("", "untargeted"), ("targeted", "targeted")):
        yield variant, [pair for pair in counterparts if experiment.attacks[pair[0]].objective == objective]


def not_of_the_paper(evidence: Evidence, left_out: Sequence[str]) -> Verdict:
    """The verdict where all rows depart from the paper's: not tested, and in what they depart."""
    return not_tested(f"rows depart from the paper's: {joined_unique(left_out)}", evidence.images)


def instances(experiment: Experiment, counterparts: Counterparts) -> tuple[Counterparts, list[str], str]:
    """Sort counterparts into those that the paper's claims are about and those that depart from the paper's rows.

    Returns:
        The counterparts that the claims are about; in what the others depart; and for a verdict's detail, what the
        kept ones vary because params.yaml says so in `varies`: "" where nothing is varied.
    """
    rows, varied = experiment.attacks, experiment.varies or ()
    kept, left_out, on_purpose = [], [], []
    for pair in counterparts:
        departing = [f"{name}: {text}" for name in pair if (text := departure(rows[name], varied))]
        if departing:
            left_out += departing
        else:
            kept.append(pair)
            on_purpose += [f"{name}: {text}" for name in pair for text in departures(rows[name]).values()]
    purpose = f"; varied on purpose (varies: {', '.join(varied)}): {joined_unique(on_purpose)}" if on_purpose else ""
    return kept, left_out, purpose
