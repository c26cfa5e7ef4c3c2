"""Analyses of similarity: those of a source with another model, and those of a source with itself."""

from collections.abc import Iterator

import numpy as np

from crossfool.experiment.results.outcomes import Evidence
from crossfool.pipeline.gradient_analysis.config import Similarity


def with_others(evidence: Evidence) -> Iterator[tuple[str, tuple[int, ...], np.ndarray]]:
    """Analysis, samples and cosines of each analysis whose target is another model than its source."""
    rows = evidence.experiment.similarity
    for name, (samples, cosines) in evidence.similarity.items():
        if name not in rows or rows[name].source != rows[name].target:
            yield name, samples, cosines


def with_itself(evidence: Evidence, row: Similarity) -> tuple[str, ...]:
    """Analyses of a row's source with itself, on the same images and noise."""

    def key(one: Similarity) -> tuple[object, ...]:
        return one.source, one.images, one.sigma, one.seed

    rows = evidence.experiment.similarity.items()
    return tuple(name for name, one in rows if one.source == one.target and key(one) == key(row))
