"""Transfer against the source's number of parameters, at equal test error."""

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._correlation import correlated
from crossfool.report.claims._sources import error, size
from crossfool.report.claims._verdict import Verdict

CLAIM = {
    "statement": "Attacks transfer better the fewer parameters the source has, at equal test error.",
    "section": "section 5.2, figure 1",
    "test": "permutation test of the partial rank correlation over sources, the other value held fixed",
    "order": 50,
}


def check(evidence: Evidence) -> list[Verdict]:
    """Check that success falls with the source's size, its top-1 error held fixed."""
    return correlated(evidence, lambda model: size(evidence, model), lambda model: error(evidence, model))
