"""Transfer against the source's number of parameters."""

import math

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._correlation import correlated
from crossfool.report.claims._verdict import Verdict

CLAIM = {
    "statement": "Attacks transfer better the fewer parameters the source has.",
    "section": "section 5.2, figure 1",
    "test": "permutation test of Spearman's rank correlation on each target, adjusted by Holm",
    "order": 50,
}


def check(evidence: Evidence) -> list[Verdict]:
    """Check that success falls with the logarithm of the source's number of parameters."""
    return correlated(evidence, lambda model: math.log(evidence.clean[model]["parameters"]))
