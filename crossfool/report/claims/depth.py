"""Transfer from a shallow model against transfer from a deep one of its family."""

import itertools

from crossfool.experiment.results.outcomes import Evidence
from crossfool.models import families
from crossfool.report.claims._verdict import Verdict, contrast, joined_unique

CLAIM = {
    "statement": "Attacks from a shallow model transfer better than from a deep one of its kind.",
    "section": "section 5.2, table 2",
    "test": "paired test of both success rates, on the same images",
    "order": 30,
}


def check(evidence: Evidence) -> list[Verdict]:
    """Check a shallow source against a deep one of its family, on every other target and on one another."""
    models = [
        source for source in evidence.experiment.sources if families.depth(source) is not None and "+" not in source
    ]
    depth_pairs = [
        (a, b)
        for a, b in itertools.permutations(models, 2)
        if families.family(a) == families.family(b) and _shallower(a, b)
    ]
    pairs, names = [], []
    for attack, (shallow, deep) in itertools.product(evidence.untargeted, depth_pairs):
        cells = evidence.single(attack)
        others = [(target, target) for target in evidence.experiment.models if target not in (shallow, deep)]
        for shallow_target, deep_target in (*others, (deep, shallow)):
            if (shallow, shallow_target) in cells and (deep, deep_target) in cells:
                pairs.append((evidence.hits[shallow, attack, shallow_target], evidence.hits[deep, attack, deep_target]))
                names.append(f"{shallow} against {deep}")
    return contrast(pairs, joined_unique(names))


def _shallower(model: str, other: str) -> bool:
    return (families.depth(model) or 0) < (families.depth(other) or 0)
