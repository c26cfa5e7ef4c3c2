"""Step size of targeted attacks: the best against the smallest."""

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._lines import best_value, lines_along
from crossfool.report.claims._verdict import Verdict, contrast

CLAIM = {
    "statement": "Targeted attacks transfer better by a larger step than by the smallest.",
    "section": "appendix B, figure 7",
    "test": "paired test of the best step size against the smallest",
    "order": 180,
}


def check(evidence: Evidence) -> list[Verdict]:
    """Check the best step size of targeted attacks in the most steps against the smallest one.

    The effect is 0 where the smallest is the best.
    """
    claims = []
    for lines in lines_along(evidence.experiment, "step_size"):
        rows = [evidence.experiment.row(line[min(line)]) for line in lines]
        most = max(row.steps for row in rows)
        lines = [line for line, row in zip(lines, rows, strict=True) if row.steps == most and row.targeted]
        lines = [line for line in lines if evidence.cells(line[min(line)])]
        if lines:
            best, pairs = best_value(evidence, lines)
            values = ", ".join(f"{value:g}" for value in pairs)
            detail = f"T = {most}; best is step size {best:g} of {values}, chosen on the same images"
            claims += contrast(pairs[min(pairs)], detail)
    return claims
