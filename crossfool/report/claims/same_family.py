"""Transfer within the source's architecture family against transfer to others."""

import itertools
from collections.abc import Sequence

import numpy as np

from crossfool.experiment.results.outcomes import Evidence
from crossfool.models.families import family
from crossfool.report.claims._verdict import Verdict, contrast, joined_unique

CLAIM = {
    "statement": "Attacks transfer better to models of the source's own architecture than to others.",
    "section": "section 5.1, table 1",
    "test": "paired test of both success rates, on the same images",
    "order": 20,
}


def check(evidence: Evidence) -> list[Verdict]:
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
    return contrast(pairs, f"from {joined_unique(sources)}", "sources and attacks")


def _mean(outcomes: Sequence[np.ndarray]) -> np.ndarray:
    """The mean (N,) of outcomes (N,); a single outcome stays bool, so that its test is exact."""
    return outcomes[0] if len(outcomes) == 1 else np.mean(outcomes, 0)
