"""Survival of image transforms, smoothed against plain gradients."""

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._counterparts import of_equal_steps
from crossfool.report.claims._verdict import Verdict, contrast, joined_unique

CLAIM = {
    "statement": (
        "Adversarial images made by smoothed gradients survive image transforms better than those by plain ones."
    ),
    "section": "section 7.4, figure 5",
    "test": "paired test of both destruction rates, on the images that both attacks succeed on",
    "order": 170,
}


def check(evidence: Evidence) -> list[Verdict]:
    """Check that transforms destroy more of a plain attack than of its counterpart, on images that both succeed on."""
    pairs, counted, contrasts = [], [], []
    for smoothed, plain in of_equal_steps(evidence.experiment):
        cells = evidence.cells(smoothed) if smoothed in evidence.untargeted else []
        for (source, attack, target, transform, level), smoothed_destroyed in evidence.destroyed.items():
            plain_destroyed = evidence.destroyed.get((source, plain, target, transform, level))
            if attack == smoothed and plain_destroyed is not None and (source, target) in cells:
                both_fooled = evidence.hits[source, smoothed, target] & evidence.hits[source, plain, target]
                if both_fooled.any():
                    pairs.append((plain_destroyed, smoothed_destroyed))
                    counted.append(both_fooled)
                    contrasts.append(f"{smoothed} against {plain}")
    return contrast(pairs, joined_unique(contrasts), "cells, transforms and levels", counted)
