"""Best sigma of smoothed gradients against the least and the greatest."""

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._lines import best_value, lines_along
from crossfool.report.claims._verdict import Verdict, judged
from crossfool.stats.paired_tests import compare_pairs

CLAIM = {
    "statement": "Some sigma between the least and the greatest transfers better than both.",
    "section": "section 7.2, figure 4b",
    "test": "paired tests of the best sigma against the least and the greatest; the larger p",
    "order": 100,
}


def check(evidence: Evidence) -> list[Verdict]:
    """Check the best sigma against the least and the greatest; the effect is 0 where the best is one of them."""
    claims = []
    for lines in lines_along(evidence.experiment, "sigma"):
        lines = [line for line in lines if len(line) >= 3 and evidence.cells(line[min(line)])]
        if lines:
            best, pairs = best_value(evidence, lines)
            ends = [compare_pairs(pairs[end]) for end in (min(pairs), max(pairs))]
            detail = (
                f"best is sigma = {best:g} of {', '.join(f'{value:g}' for value in pairs)}, chosen on the same images"
            )
            comparisons, points = sum(end.comparisons for end in ends), min(end.points for end in ends)
            p = max(end.p for end in ends)
            claims.append(judged(points, p, comparisons, evidence.images, detail))
    return claims
