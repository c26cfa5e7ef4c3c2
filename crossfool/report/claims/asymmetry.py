"""Asymmetry of transfer between two models."""

import numpy as np

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._sources import both_ways
from crossfool.report.claims._verdict import Verdict, judged
from crossfool.stats.paired_tests import SIGNIFICANCE_LEVEL, holm_adjusted, mcnemar_p

CLAIM = {
    "statement": "Between some two models, attacks succeed more often one way than back.",
    "section": "section 5.1, table 1",
    "test": "McNemar's exact test of each pair of models, adjusted by Holm",
    "order": 10,
}


def check(evidence: Evidence) -> list[Verdict]:
    """Check by McNemar's test that between two models attacks succeed more often one way than back.

    The effect is the mean difference of all pairs of models; p is the least of Holm's adjusted ones.
    """
    ways = both_ways(evidence)
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
    return [judged(float(np.mean(gaps)), min(adjusted), len(ways), evidence.images, detail)]
