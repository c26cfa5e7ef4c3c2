"""The paper's claims, each a check of an experiment's answers by a paired test. Imports no torch.

Compared are black-box cells only: a target that is no member of the source. A targeted attack succeeds where
its label is among the first five answers, as in the paper's table 4; any other where the first answer is wrong.
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
from crossfool.report.claims.claim import SAID, Claim, claim, contrasted, listed
from crossfool.stats.paired_tests import LEVEL, holm, mcnemar, ranked, rho

__all__ = ["COLUMNS", "Claim", "Evidence", "check", "table"]

COLUMNS = ("name", "holds", "effect", "unit", "p", "comparisons", "images", "section", "statement", "detail")


def check(evidence: Evidence) -> list[Claim]:
    """The claims that the experiment has the cells to check, in the order of the paper."""
    models = (_asymmetry, _same_family, _depth, _accuracy, _capacity)
    smoothing = (_smoothing, _momentum, _ensembles, _transforms)
    found = [one for look in (*models, *smoothing, *sweep_claims.CHECKS) for one in look(evidence)]
    return sorted(found, key=lambda one: list(SAID).index(one.name))


def table(claims: Iterable[Claim]) -> list[dict[str, Any]]:
    """A row of `COLUMNS` a claim; effect and p to six significant digits."""
    rows = [{column: getattr(one, column) for column in COLUMNS} for one in claims]
    for row in rows:
        row |= {key: float(f"{row[key]:.6g}") for key in ("effect", "p") if row[key] is not None}
    return rows


# --- models -----------------------------------------------------------------------------------------


def _asymmetry(evidence: Evidence) -> list[Claim]:
    """McNemar's test of each pair of models, one way against back; the p of all together is Holm's least."""
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
    adjusted = holm([mcnemar(there, back) for there, back in pairs])
    gaps = [100 * abs(float(there.mean() - back.mean())) for there, back in pairs]
    widest = int(np.argmax(gaps))
    (attack, a, b), (there, back) = ways[widest], pairs[widest]
    detail = (
        f"{sum(p < LEVEL for p in adjusted)} of {len(ways)} pairs differ (Holm-adjusted); furthest apart: "
        f"{attack} from {a} to {b} {100 * there.mean():.1f}%, back {100 * back.mean():.1f}%"
    )
    return [claim("asymmetry", float(np.mean(gaps)), min(adjusted), len(ways), evidence.images, detail)]


def _same_family(evidence: Evidence) -> list[Claim]:
    """For each source, success on targets of its family against success on the others."""
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
    return contrasted("same_family", pairs, f"from {listed(sources)}", "sources and attacks")


def _depth(evidence: Evidence) -> list[Claim]:
    """A shallow and a deep source of one family, on every target that is neither and on one another."""
    models = [source for source in evidence.experiment.sources if depth(source) is not None and "+" not in source]
    ranks = [(a, b) for a, b in itertools.permutations(models, 2) if family(a) == family(b) and _less(a, b)]
    pairs, names = [], []
    for attack, (shallow, deep) in itertools.product(evidence.untargeted, ranks):
        cells = evidence.single(attack)
        others = [(target, target) for target in evidence.experiment.models if target not in (shallow, deep)]
        for there, back in (*others, (deep, shallow)):
            if (shallow, there) in cells and (deep, back) in cells:
                pairs.append((evidence.hits[shallow, attack, there], evidence.hits[deep, attack, back]))
                names.append(f"{shallow} against {deep}")
    return contrasted("depth", pairs, listed(names))


def _less(shallow: str, deep: str) -> bool:
    return (depth(shallow) or 0) < (depth(deep) or 0)


def _accuracy(evidence: Evidence) -> list[Claim]:
    return _correlated(evidence, "accuracy", lambda model: 100 - float(evidence.clean[model]["top1"]))


def _capacity(evidence: Evidence) -> list[Claim]:
    return _correlated(evidence, "capacity", lambda model: math.log(evidence.clean[model]["parameters"]))


def _correlated(evidence: Evidence, name: str, value: Callable[[str], float]) -> list[Claim]:
    """Success against a value of the source, over at least three of the sources that the scatter plots draw."""
    panels, scatter = [], evidence.experiment.scatter
    for attack, target in itertools.product(scatter.attacks, evidence.experiment.models):
        sources = [s for s, t in evidence.single(attack) if t == target]
        sources = [s for s in sources if scatter.same_family or family(s) != family(target)]
        rates = np.array([evidence.success(source, attack, target).mean() for source in sources])
        values = np.array([value(source) for source in sources])
        correlation = rho(values, rates) if len(sources) >= 3 else None
        if correlation is not None:
            panels.append((f"{attack} on {target}", correlation, ranked(values, rates), len(sources)))
    if not panels:
        return []
    adjusted = holm([p for _, _, p, _ in panels])
    effect = float(np.mean([correlation for _, correlation, _, _ in panels]))
    p = min((q for panel, q in zip(panels, adjusted, strict=True) if panel[1] < 0), default=1.0)
    said = [f"{where}: rho {one:+.3f}, p {q:.3g}, {count} sources" for where, one, q, count in panels]
    detail = "; ".join([*said, "p of each before Holm's adjustment"])
    unit = "rank correlation"
    return [claim(name, effect, p, len(panels), evidence.images, detail, unit=unit, holds=effect < 0)]


# --- smoothed gradients -----------------------------------------------------------------------------

ALIKE = ("epsilon", "objective", "update", "decay", "fusion")  # of the paper's attacks; later ones are left out
STEPS = ("steps", "step_size")
Counterparts = list[tuple[str, str]]  # a smoothed attack and a plain one


def _counterparts(experiment: Experiment, *same: str) -> Counterparts:
    """Smoothed and plain named attacks whose parameters `same` agree."""
    rows = {name: row for name, row in experiment.attacks.items() if not row.later}
    pairs = itertools.product(
        [name for name, row in rows.items() if row.gradient == "smoothed"],
        [name for name, row in rows.items() if row.gradient == "plain"],
    )
    return [(s, p) for s, p in pairs if all(getattr(rows[s], key) == getattr(rows[p], key) for key in same)]


def _kinds(experiment: Experiment) -> dict[str, Counterparts]:
    """Counterparts by what they have in common; those of other steps and cost only where there are no others."""
    cost, steps = _counterparts(experiment, *ALIKE, "gradients"), _counterparts(experiment, *ALIKE, *STEPS)
    equal = {_group(experiment, s) for s, _ in (*cost, *steps)}
    other = [(s, p) for s, p in _counterparts(experiment, *ALIKE) if _group(experiment, s) not in equal]
    return {"smoothing_equal_cost": cost, "smoothing_equal_steps": steps, "smoothing": other}


def _group(experiment: Experiment, attack: str) -> tuple[object, ...]:
    return tuple(getattr(experiment.row(attack), key) for key in ALIKE)


def _smoothing(evidence: Evidence) -> list[Claim]:
    """Smoothed against plain on all black-box cells."""
    kinds = _kinds(evidence.experiment)
    return [one for name, counterparts in kinds.items() for one in _smoother(evidence, name, counterparts)]


def _momentum(evidence: Evidence) -> list[Claim]:
    """Of one budget: smoothed against plain momentum, and smoothed without momentum against plain with it."""
    rows = evidence.experiment.attacks
    both = [(s, p) for s, p in _counterparts(evidence.experiment, *ALIKE, *STEPS) if rows[s].update == "momentum"]
    one = [
        (s, p)
        for s, p in _counterparts(evidence.experiment, "epsilon", "objective", "fusion", *STEPS)
        if (rows[s].update, rows[p].update) == ("sign", "momentum")
    ]
    return _smoother(evidence, "smoothing_momentum", both) + _smoother(evidence, "smoothing_beats_momentum", one)


def _ensembles(evidence: Evidence) -> list[Claim]:
    """All counterparts, on the cells of ensembles."""
    every = dict.fromkeys(pair for kind in _kinds(evidence.experiment).values() for pair in kind)
    return _smoother(evidence, "smoothing_ensembles", list(every), lambda source: "+" in source)


def _smoother(
    evidence: Evidence, name: str, counterparts: Counterparts, taken: Callable[[str], bool] = lambda source: True
) -> list[Claim]:
    """Success of smoothed attacks against their counterparts', from the sources that are taken."""
    pairs, said, rows = [], [], evidence.experiment.attacks
    for s, p in counterparts:
        pairs += evidence.against(s, p, taken)
        said.append(f"{s} ({rows[s].gradients} gradients an image) against {p} ({rows[p].gradients})")
    return contrasted(name, pairs, listed(said))


def _transforms(evidence: Evidence) -> list[Claim]:
    """What transforms undo of a plain attack less what they undo of its counterpart, on images that both fool with."""
    pairs, fooled, names = [], [], []
    for s, p in _counterparts(evidence.experiment, *ALIKE, *STEPS):
        cells = evidence.cells(s) if s in evidence.untargeted else []
        for (source, attack, target, transform, level), smoothed in evidence.destroyed.items():
            plain = evidence.destroyed.get((source, p, target, transform, level))
            if attack == s and plain is not None and (source, target) in cells:
                both = evidence.hits[source, s, target] & evidence.hits[source, p, target]
                if both.any():
                    pairs.append((plain, smoothed))
                    fooled.append(both)
                    names.append(f"{s} against {p}")
    return contrasted("survives_transforms", pairs, listed(names), "cells, transforms and levels", fooled)


def _mean(outcomes: Sequence[np.ndarray]) -> np.ndarray:
    """The mean (N,) of several; one alone stays bool."""
    return outcomes[0] if len(outcomes) == 1 else np.mean(outcomes, 0)
