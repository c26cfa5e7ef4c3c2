"""Images of plain attacks and of their smoothed counterparts that image transforms destroy."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._counterparts import instances, of_equal_steps
from crossfool.stats.paired_tests import OutcomePair


@dataclass(frozen=True)
class Survival:
    """Images of two attacks that one level of a transform destroys, in one cell.

    Attributes:
        transform: The transform.
        attacks: "smoothed against plain", by name.
        pair: Whether the plain attack's image is right again after the transform, and the smoothed one's, (N,) bool.
        counted: Images that both attacks succeed on, (N,) bool; at least one.
    """

    transform: str
    attacks: str
    pair: OutcomePair
    counted: np.ndarray


def survivals(evidence: Evidence) -> Iterator[Survival]:
    """Each level of each transform on the cells of the paper's untargeted counterparts in equal steps."""
    kept, _, _ = instances(evidence.experiment, of_equal_steps(evidence.experiment))
    for smoothed, plain in kept:
        cells = evidence.cells(smoothed) if smoothed in evidence.untargeted else []
        for (source, attack, target, transform, level), smoothed_destroyed in evidence.destroyed.items():
            plain_destroyed = evidence.destroyed.get((source, plain, target, transform, level))
            if attack == smoothed and plain_destroyed is not None and (source, target) in cells:
                both_fooled = evidence.hits[source, smoothed, target] & evidence.hits[source, plain, target]
                if both_fooled.any():
                    pair = plain_destroyed, smoothed_destroyed
                    yield Survival(transform, f"{smoothed} against {plain}", pair, both_fooled)
