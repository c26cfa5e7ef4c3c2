"""Checks of the paper's claims about models and smoothed gradients, by paired tests on outcomes. Imports no torch.

Compared are black-box cells only: a target that is no member of the source. A targeted attack succeeds where
its label is among the target's top-5 classes, as in the paper's table 4; any other where the top-1 class is wrong.
A claim holds where its effect has the claimed sign and p < 0.05.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from crossfool.experiment.config import Experiment
from crossfool.experiment.results.outcomes import Evidence
from crossfool.models.families import depth, family
from crossfool.report.claims import sweep_claims
from crossfool.report.claims.claim import STATEMENTS, Claim, contrast_claim, joined_unique, judged_claim
from crossfool.stats.paired_tests import SIGNIFICANCE_LEVEL, holm_adjusted, mcnemar_p, rank_permutation_p, spearman_rho

__all__ = ["COLUMNS", "Claim", "Evidence", "check_claims", "claim_rows"]

COLUMNS = ("name", "holds", "effect", "unit", "p", "comparisons", "images", "section", "statement", "detail")


def check_claims(evidence: Evidence) -> list[Claim]:
    """Check the claims that the experiment has cells for, in the order of the paper."""
    models = (_asymmetry, _same_family, _depth, _accuracy, _capacity)
    smoothing = (_smoothing, _momentum, _ensembles, _transforms)
    checks = (*models, *smoothing, *sweep_claims.CHECKS)
    claims = [claim for check in checks for claim in check(evidence)]
    return sorted(claims, key=lambda claim: list(STATEMENTS).index(claim.name))


def claim_rows(claims: Iterable[Claim]) -> list[dict[str, Any]]:
    """A row of `COLUMNS` for each claim; effect and p to six significant digits."""
    rows = [{column: getattr(claim, column) for column in COLUMNS} for claim in claims]
    for row in rows:
        row |= {key: float(f"{row[key]:.6g}") for key in ("effect", "p") if row[key] is not None}
    return rows


def _asymmetry(evidence: Evidence) -> list[Claim]:
    """Check by McNemar's test that between two models attacks succeed more often one way than back.

    The effect is the mean difference of all pairs of models; p is the least of Holm's adjusted ones.
    """
    ways = []
    for attack in evidence.untargeted:
        cells = evidence.single(attack)
        ways += [
            (attack, a, b)
            for a, b in itertools.combinations(evidence.experiment.sources, 2)
            if (a, b) in cells and (b, a) in cells
        ]
    if not ways:
        return []
    pairs = [(evidence.hits[a, attack, b], evidence.hits[b, attack, a]) for attack, a, b in ways]
    adjusted = holm_adjusted([mcnemar_p(there, back) for there, back in pairs])
    gaps = [100 * abs(float(there.mean() - back.mean())) for there, back in pairs]
    widest = int(np.argmax(gaps))
    (attack, a, b), (there, back) = ways[widest], pairs[widest]
    detail = (
        f"{sum(p < SIGNIFICANCE_LEVEL for p in adjusted)} of {len(ways)} pairs differ (Holm-adjusted); furthest apart: "
        f"{attack} from {a} to {b} {100 * there.mean():.1f}%, back {100 * back.mean():.1f}%"
    )
    return [judged_claim("asymmetry", float(np.mean(gaps)), min(adjusted), len(ways), evidence.images, detail)]


def _same_family(evidence: Evidence) -> list[Claim]:
    """Check success on targets of the source's family against success on the others, for each source."""
    pairs, sources = [], []
    for attack in evidence.untargeted:
        for source, cells in itertools.groupby(evidence.single(attack), lambda cell: cell[0]):
            near: list[np.ndarray] = []
            far: list[np.ndarray] = []
            for _, target in cells:
                (near if family(target) == family(source) else far).append(evidence.hits[source, attack, target])
            if near and far:
                pairs.append((_mean(near), _mean(far)))
                sources.append(source)
    return contrast_claim("same_family", pairs, f"from {joined_unique(sources)}", "sources and attacks")


def _depth(evidence: Evidence) -> list[Claim]:
    """Check a shallow source against a deep one of its family, on every other target and on one another."""
    models = [source for source in evidence.experiment.sources if depth(source) is not None and "+" not in source]
    depth_pairs = [(a, b) for a, b in itertools.permutations(models, 2) if family(a) == family(b) and _shallower(a, b)]
    pairs, names = [], []
    for attack, (shallow, deep) in itertools.product(evidence.untargeted, depth_pairs):
        cells = evidence.single(attack)
        others = [(target, target) for target in evidence.experiment.models if target not in (shallow, deep)]
        for shallow_target, deep_target in (*others, (deep, shallow)):
            if (shallow, shallow_target) in cells and (deep, deep_target) in cells:
                pairs.append((evidence.hits[shallow, attack, shallow_target], evidence.hits[deep, attack, deep_target]))
                names.append(f"{shallow} against {deep}")
    return contrast_claim("depth", pairs, joined_unique(names))


def _shallower(model: str, other: str) -> bool:
    return (depth(model) or 0) < (depth(other) or 0)


def _accuracy(evidence: Evidence) -> list[Claim]:
    """Check that success falls with the source's top-1 error."""
    return _correlated(evidence, "accuracy", lambda model: 100 - float(evidence.clean[model]["top1"]))


def _capacity(evidence: Evidence) -> list[Claim]:
    """Check that success falls with the logarithm of the source's number of parameters."""
    return _correlated(evidence, "capacity", lambda model: math.log(evidence.clean[model]["parameters"]))


def _correlated(evidence: Evidence, name: str, value: Callable[[str], float]) -> list[Claim]:
    """Check that success falls with a value of the source, over at least three sources of the scatter plots.

    Args:
        evidence: The experiment's outcomes.
        name: The claim.
        value: Source model -> the value.
    """
    panels, scatter = [], evidence.experiment.scatter
    for attack, target in itertools.product(scatter.attacks, evidence.experiment.models):
        sources = [source for source, cell_target in evidence.single(attack) if cell_target == target]
        sources = [source for source in sources if scatter.same_family or family(source) != family(target)]
        rates = np.array([evidence.success(source, attack, target).mean() for source in sources])
        values = np.array([value(source) for source in sources])
        correlation = spearman_rho(values, rates) if len(sources) >= 3 else None
        if correlation is not None:
            panels.append((f"{attack} on {target}", correlation, rank_permutation_p(values, rates), len(sources)))
    if not panels:
        return []
    adjusted = holm_adjusted([p for _, _, p, _ in panels])
    effect = float(np.mean([correlation for _, correlation, _, _ in panels]))
    p = min((p for panel, p in zip(panels, adjusted, strict=True) if panel[1] < 0), default=1.0)
    details = [f"{panel}: rho {rank:+.3f}, p {p:.3g}, {count} sources" for panel, rank, p, count in panels]
    detail = "; ".join([*details, "p of each before Holm's adjustment"])
    unit = "rank correlation"
    return [judged_claim(name, effect, p, len(panels), evidence.images, detail, unit=unit, holds=effect < 0)]


ALIKE = ("epsilon", "objective", "update", "decay", "fusion")  # parameters in which counterparts agree
STEPS = ("steps", "step_size")
Counterparts = list[tuple[str, str]]  # a smoothed attack and a plain one


def _counterparts(experiment: Experiment, *same: str) -> Counterparts:
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


def _kinds(experiment: Experiment) -> dict[str, Counterparts]:
    """Counterparts by claim: of equal cost, of equal steps, and of neither where an attack has none of the former."""
    cost, steps = (
        _counterparts(experiment, *ALIKE, "gradient_evaluations_per_seed"),
        _counterparts(experiment, *ALIKE, *STEPS),
    )
    equal = {_group(experiment, smoothed) for smoothed, _ in (*cost, *steps)}
    other = [pair for pair in _counterparts(experiment, *ALIKE) if _group(experiment, pair[0]) not in equal]
    return {"smoothing_equal_cost": cost, "smoothing_equal_steps": steps, "smoothing": other}


def _group(experiment: Experiment, attack: str) -> tuple[object, ...]:
    """The parameters `ALIKE` of an attack."""
    return tuple(experiment.row(attack).value(key) for key in ALIKE)


def _smoothing(evidence: Evidence) -> list[Claim]:
    """Check smoothed against plain gradients on all black-box cells."""
    kinds = _kinds(evidence.experiment)
    return [
        claim for name, counterparts in kinds.items() for claim in _smoothed_against_plain(evidence, name, counterparts)
    ]


def _momentum(evidence: Evidence) -> list[Claim]:
    """Check smoothed against plain momentum, and smoothed without momentum against plain with it, in equal steps."""
    rows = evidence.experiment.attacks
    both = [
        (smoothed, plain)
        for smoothed, plain in _counterparts(evidence.experiment, *ALIKE, *STEPS)
        if rows[smoothed].update == "momentum"
    ]
    plain_only = [
        (smoothed, plain)
        for smoothed, plain in _counterparts(evidence.experiment, "epsilon", "objective", "fusion", *STEPS)
        if (rows[smoothed].update, rows[plain].update) == ("sign", "momentum")
    ]
    return [
        *_smoothed_against_plain(evidence, "smoothing_momentum", both),
        *_smoothed_against_plain(evidence, "smoothing_beats_momentum", plain_only),
    ]


def _ensembles(evidence: Evidence) -> list[Claim]:
    """Check all counterparts on the cells of ensembles."""
    counterparts = dict.fromkeys(pair for kind in _kinds(evidence.experiment).values() for pair in kind)
    return _smoothed_against_plain(evidence, "smoothing_ensembles", list(counterparts), lambda source: "+" in source)


def _smoothed_against_plain(
    evidence: Evidence, name: str, counterparts: Counterparts, included: Callable[[str], bool] = lambda source: True
) -> list[Claim]:
    """Check success of smoothed attacks against their counterparts', from the sources that are included."""
    pairs, contrasts, rows = [], [], evidence.experiment.attacks
    for smoothed, plain in counterparts:
        pairs += evidence.against(smoothed, plain, included)
        gradients = rows[smoothed].gradient_evaluations_per_seed, rows[plain].gradient_evaluations_per_seed
        contrasts.append(f"{smoothed} ({gradients[0]} gradients an image) against {plain} ({gradients[1]})")
    return contrast_claim(name, pairs, joined_unique(contrasts))


def _transforms(evidence: Evidence) -> list[Claim]:
    """Check that transforms destroy more of a plain attack than of its counterpart, on images that both succeed on."""
    pairs, counted, contrasts = [], [], []
    for smoothed, plain in _counterparts(evidence.experiment, *ALIKE, *STEPS):
        cells = evidence.cells(smoothed) if smoothed in evidence.untargeted else []
        for (source, attack, target, transform, level), smoothed_destroyed in evidence.destroyed.items():
            plain_destroyed = evidence.destroyed.get((source, plain, target, transform, level))
            if attack == smoothed and plain_destroyed is not None and (source, target) in cells:
                both_fooled = evidence.hits[source, smoothed, target] & evidence.hits[source, plain, target]
                if both_fooled.any():
                    pairs.append((plain_destroyed, smoothed_destroyed))
                    counted.append(both_fooled)
                    contrasts.append(f"{smoothed} against {plain}")
    return contrast_claim(
        "survives_transforms", pairs, joined_unique(contrasts), "cells, transforms and levels", counted
    )


def _mean(outcomes: Sequence[np.ndarray]) -> np.ndarray:
    """The mean (N,) of outcomes (N,); a single outcome stays bool, so that its test is exact."""
    return outcomes[0] if len(outcomes) == 1 else np.mean(outcomes, 0)
