"""Step size of targeted attacks: the best smaller one against the largest."""

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._lines import best_value, lines_along
from crossfool.report.claims._verdict import Verdict, contrast

CLAIM = {
    "statement": "Targeted attacks transfer worse by the largest step than by a smaller one.",
    "section": "appendix B, figure 7",
    "test": "paired test of the best smaller step size, chosen on half of the images, against the largest on the rest",
    "order": 182,
}


def check(evidence: Evidence) -> list[Verdict]:
    """Check the best smaller step size of targeted attacks in the most steps against the largest one."""
    claims = []
    for lines in lines_along(evidence.experiment, "step_size"):
        rows = [evidence.experiment.row(line[min(line)]) for line in lines]
        most = max(row.steps for row in rows)
        lines = [line for line, row in zip(lines, rows, strict=True) if row.steps == most and row.targeted]
        lines = [line for line in lines if evidence.cells(line[min(line)])]
        if lines:
            values = sorted(set.intersection(*map(set, lines)))
            best, pairs = best_value(evidence, lines, (values[-1],))
            detail = (
                f"T = {most}; best is step size {best:g} of {', '.join(f'{value:g}' for value in values)}, chosen on "
                f"half of the images; against {values[-1]:g} on the others"
            )
            claims += contrast(pairs[values[-1]], detail)
    return claims
