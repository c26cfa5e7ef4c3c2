"""Few iterations against many, of targeted attacks at a small step."""

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._lines import Line, lines_along
from crossfool.report.claims._verdict import Verdict, contrast, joined_unique

CLAIM = {
    "statement": "At a small step, targeted attacks of few iterations transfer better than those of many.",
    "section": "appendix B, figure 7",
    "test": "paired test of the fewest iterations against the most, at steps of a quarter of epsilon or less",
    "order": 184,
}
SMALL = 0.25  # of epsilon: the paper's alpha = 5 at epsilon = 20


def check(evidence: Evidence) -> list[Verdict]:
    """Check the fewest iterations against the most at the largest step that is small."""
    pairs, contrasts = [], []
    for lines in lines_along(evidence.experiment, "steps"):
        small: dict[float, list[Line]] = {}
        for line in lines:
            row = evidence.experiment.row(line[min(line)])
            if row.targeted and row.step_size <= SMALL * row.epsilon:
                small.setdefault(row.step_size, []).append(line)
        for line in small[max(small)] if small else ():
            pairs += evidence.against(line[min(line)], line[max(line)])
            step = evidence.experiment.row(line[min(line)]).step_size
            contrasts.append(f"step size {step:g}: T = {min(line):g} against {max(line):g}")
    return contrast(pairs, joined_unique(contrasts))
