"""Step size of targeted attacks: the best larger one against the smallest."""

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._step_sizes import best_step_against
from crossfool.report.claims._verdict import Verdict

CLAIM = {
    "statement": "Targeted attacks transfer better by a larger step than by the smallest.",
    "section": "appendix B, figure 7",
    "test": "paired test of the best larger step size, chosen on half of the images, against the smallest on the rest",
    "order": 180,
}


def check(evidence: Evidence) -> list[Verdict]:
    """Check the best step size of targeted attacks in the most steps against the smallest one."""
    return best_step_against(evidence, min)
