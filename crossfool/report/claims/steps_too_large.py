"""Step size of targeted attacks: the best smaller one against the largest."""

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._step_sizes import best_step_against
from crossfool.report.claims._verdict import Verdict

CLAIM = {
    "statement": "Targeted attacks transfer worse by the largest step than by a smaller one.",
    "section": "appendix B, figure 7",
    "test": "paired test of the best smaller step size, chosen on half of the images, against the largest on the rest",
    "order": 182,
}


def check(evidence: Evidence) -> list[Verdict]:
    """Check the best smaller step size of targeted attacks in the most steps against the largest one."""
    return best_step_against(evidence, max)
