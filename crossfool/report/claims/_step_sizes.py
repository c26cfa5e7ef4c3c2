"""The best step size of targeted attacks against the smallest or the largest."""

from collections.abc import Callable, Sequence

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._lines import best_value, lines_along, listed
from crossfool.report.claims._verdict import Verdict, contrast


def best_step_against(evidence: Evidence, end: Callable[[Sequence[float]], float]) -> list[Verdict]:
    """Check the best step size of targeted attacks in the most steps against one end of the step sizes.

    The best one is chosen on half of the images and tested on the other half.

    Args:
        evidence: The experiment's outcomes.
        end: `min` or `max`: which step size is the rival.
    """
    claims = []
    for lines in lines_along(evidence.experiment, "step_size"):
        rows = [evidence.experiment.row(line[min(line)]) for line in lines]
        most = max(row.steps for row in rows)
        lines = [line for line, row in zip(lines, rows, strict=True) if row.steps == most and row.targeted]
        lines = [line for line in lines if evidence.cells(line[min(line)])]
        if lines:
            values = sorted(set.intersection(*map(set, lines)))
            rival = end(values)
            best, pairs = best_value(evidence, lines, (rival,))
            detail = (
                f"T = {most}; best is step size {best:g} of {listed(values)}, chosen on "
                f"half of the images; against {rival:g} on the others"
            )
            claims += contrast(pairs[rival], detail)
    return claims
