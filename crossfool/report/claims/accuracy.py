"""Transfer against the source's test error, at equal size."""

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._correlation import correlated
from crossfool.report.claims._sources import error, size
from crossfool.report.claims._verdict import Verdict

CLAIM = {
    "statement": "Attacks transfer better the smaller the source's test error is, at equal number of parameters.",
    "section": "section 5.2, figure 1",
    "test": "permutation test of the partial rank correlation over sources, the other value held fixed",
    "order": 40,
}


def check(evidence: Evidence) -> list[Verdict]:
    """Check that success falls with the source's top-1 error, its size held fixed."""
    return correlated(evidence, lambda model: error(evidence, model), lambda model: size(evidence, model))
