"""Survival of each image transform by itself, smoothed against plain gradients."""

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._destruction import Survival, survivals
from crossfool.report.claims._every import every
from crossfool.report.claims._verdict import Verdict, joined_unique

CLAIM = {
    "statement": (
        "Adversarial images made by smoothed gradients survive each image transform better than those by plain ones."
    ),
    "section": "section 7.4, figure 5",
    "test": (
        "paired test of both destruction rates of each transform by itself, on the images that both attacks succeed "
        "on: the largest p of all"
    ),
    "order": 172,
}


def check(evidence: Evidence) -> list[Verdict]:
    """Check that each transform by itself, a mean over its levels, destroys more of plain attacks than of smoothed."""
    by_transform: dict[str, list[Survival]] = {}
    for survival in survivals(evidence):
        by_transform.setdefault(survival.transform, []).append(survival)
    if len(by_transform) < 2:
        return []
    pairs = {name: [one.pair for one in some] for name, some in by_transform.items()}
    counted = {name: [one.counted for one in some] for name, some in by_transform.items()}
    compared = joined_unique(one.attacks for some in by_transform.values() for one in some)
    return [every(pairs, compared, "transforms", counted)]
