"""Attacks of one step against iterated ones."""

import itertools

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._verdict import Verdict, contrast, joined_unique

CLAIM = {
    "statement": "Attacks of one step transfer better than iterated ones of the same epsilon and gradient.",
    "section": "arXiv 1611.01236, section 4.4",
    "test": "paired test of both success rates, on the same images",
    "order": 190,
}


def check(evidence: Evidence) -> list[Verdict]:
    """Check each attack of one step against each iterated one that is otherwise alike, on all black-box cells."""
    pairs, contrasts = [], []
    for (one, row), (many, other) in itertools.permutations(evidence.experiment.attacks.items(), 2):
        alike = all(getattr(row, key) == getattr(other, key) for key in ("epsilon", "gradient", "objective", "update"))
        if row.steps == 1 < other.steps and alike:
            pairs += evidence.against(one, many)
            contrasts.append(f"{one} against {many}")
    return contrast(pairs, joined_unique(contrasts))
