"""Success from models of the target's architecture as a multiple of success from any other architecture."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np

from crossfool.experiment.results.outcomes import Evidence
from crossfool.models.families import family
from crossfool.report.claims._ratio import Ratio, ratio
from crossfool.report.claims._verdict import Verdict, detectable_effect, judged
from crossfool.stats.paired_tests import holm_adjusted

CLAIM = {
    "statement": (
        "Between the models of some architecture, iterated attacks succeed nearly twice as often as from any other "
        "architecture (more than one and a half times)."
    ),
    "section": "section 5.1, table 1",
    "test": (
        "sign-flip tests over images of the own architecture's success less one and a half times another's: the "
        "largest p of its targets and all others, times the number of architectures"
    ),
    "order": 22,
}
NEARLY_TWICE = 1.5  # a greater multiple is nearer to twice than to once; the paper's are 1.59 and 1.60


def check(evidence: Evidence) -> list[Verdict]:
    """Check the architecture whose least multiple, over its targets and all other architectures, is the largest.

    Contradicted where in each architecture some multiple is significantly below one and a half. The images are the
    unit: like `asymmetry`, the claim is about these models.
    """
    by_family: dict[str, list[tuple[str, Ratio]]] = {}
    for name, target, other, multiple in _multiples(evidence):
        by_family.setdefault(name, []).append((f"{target}: {multiple.value:.2f} times {other}", multiple))
    if not by_family:
        return []
    least = {name: min(some, key=lambda one: one[1].value) for name, some in by_family.items()}
    best = max(least, key=lambda name: least[name][1].value)
    multiple = least[best][1]
    if multiple.value > NEARLY_TWICE:
        p = min(1.0, len(by_family) * max(one.p for _, one in by_family[best]))
    else:
        p = max(_behind(some) for some in by_family.values())
    detail = f"best of {len(by_family)} architectures is {best}; " + "; ".join(text for text, _ in by_family[best])
    compared = sum(len(some) for some in by_family.values())
    low, high = multiple.interval(p)
    verdict = judged(
        multiple.value,
        p,
        compared,
        evidence.images,
        detail,
        unit="times",
        sign=int(np.sign(round(multiple.value - NEARLY_TWICE, 9))),
        interval=None if high is None else (low, high),
    )
    above = detectable_effect(low, high)
    return [replace(verdict, detectable=None if above is None else NEARLY_TWICE + above)]


def _behind(multiples: list[tuple[str, Ratio]]) -> float:
    """p of the claim that some multiple of an architecture is below one and a half, by Holm's method."""
    p_values = holm_adjusted([one.p for _, one in multiples])
    below = [p for p, (_, one) in zip(p_values, multiples, strict=True) if one.value < NEARLY_TWICE]
    return min(below, default=1.0)


def _multiples(evidence: Evidence) -> Iterator[tuple[str, str, str, Ratio]]:
    """Architecture, target of it, another architecture, and the multiple, over all iterated untargeted attacks."""
    attacks = [name for name in evidence.untargeted if evidence.experiment.row(name).steps > 1]
    rates: dict[str, dict[str, list[np.ndarray]]] = {}  # target -> architecture of the source -> outcomes
    for attack in attacks:
        for source, target in evidence.single(attack):
            rates.setdefault(target, {}).setdefault(family(source), []).append(evidence.hits[source, attack, target])
    for target, by_source in rates.items():
        own = family(target)
        for other, outcomes in by_source.items():
            if own in by_source and other != own:
                yield own, target, other, ratio(by_source[own], outcomes, Fraction(NEARLY_TWICE))
