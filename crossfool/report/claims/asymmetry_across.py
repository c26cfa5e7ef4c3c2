"""Asymmetry of transfer across architectures against within one. The unit is the pair of models."""

import numpy as np

from crossfool.experiment.results.outcomes import Evidence
from crossfool.models.families import family
from crossfool.report.claims._sources import both_ways
from crossfool.report.claims._verdict import Verdict, judged, not_tested
from crossfool.stats.paired_tests import rank_permutation_p

CLAIM = {
    "statement": "Transfer is less symmetric between models of different architectures than of one.",
    "section": "section 5.1, table 1",
    "test": "permutation test over pairs of models of the ranks of their gaps",
    "order": 12,
}


def check(evidence: Evidence) -> list[Verdict]:
    """Check the gap between both ways of pairs across families against that within, a mean over attacks."""
    gaps: dict[tuple[str, str], list[float]] = {}
    for attack, a, b in both_ways(evidence):
        there, back = evidence.hits[a, attack, b], evidence.hits[b, attack, a]
        gaps.setdefault((a, b), []).append(100 * abs(float(there.mean() - back.mean())))
    across = np.array([family(a) != family(b) for a, b in gaps], bool)
    if not across.any() or across.all():
        return []
    values = np.array([np.mean(some) for some in gaps.values()])
    effect = float(values[across].mean() - values[~across].mean())
    detail = f"{across.sum()} pairs of two architectures {values[across].mean():.1f} points apart, " + (
        f"{(~across).sum()} of one {values[~across].mean():.1f}"
    )
    if len(values) < 4:
        return [not_tested(f"{len(values)} pairs of models, at least 4 are needed; {detail}", evidence.images)]
    apart = across.astype(float)
    p, least = rank_permutation_p(apart, values), rank_permutation_p(apart, apart)
    return [
        judged(
            effect,
            p,
            len(values),
            evidence.images,
            detail,
            smallest_p=least,
            units="pairs of models",
            count=len(values),
        )
    ]
