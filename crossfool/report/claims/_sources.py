"""Values of source models that figures 1 and 8 have on their axes."""

import math

from crossfool.experiment.results.outcomes import Evidence


def error(evidence: Evidence, model: str) -> float:
    """Top-1 error on the whole data set, in percent."""
    return 100 - float(evidence.clean[model]["top1"])


def size(evidence: Evidence, model: str) -> float:
    """Logarithm of the number of parameters."""
    return math.log(evidence.clean[model]["parameters"])
