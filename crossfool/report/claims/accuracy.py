"""Transfer against the source's test error."""

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._correlation import correlated
from crossfool.report.claims._verdict import Verdict

CLAIM = {
    "statement": "Attacks transfer better the smaller the source's test error is.",
    "section": "section 5.2, figure 1",
    "test": "permutation test of Spearman's rank correlation on each target, adjusted by Holm",
    "order": 40,
}


def check(evidence: Evidence) -> list[Verdict]:
    """Check that success falls with the source's top-1 error."""
    return correlated(evidence, lambda model: 100 - float(evidence.clean[model]["top1"]))
