"""Best sigma of smoothed gradients near epsilon against all sigmas that are far from it."""

from collections.abc import Sequence

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._every import joined
from crossfool.report.claims._lines import Line, best_value, lines_along, listed
from crossfool.report.claims._verdict import Verdict, contrast, judged, not_tested, opposite

CLAIM = {
    "statement": "The best sigma lies near epsilon: between its half and its double.",
    "section": "section 7.2, figure 4b",
    "test": (
        "paired tests of the best sigma that is near epsilon, chosen on half of the images, against each that is far, "
        "on the other half: the largest p; or of the best far one against each near one"
    ),
    "order": 102,
}
NEAR = 2.0  # the factor by which a near sigma differs from epsilon at most; the paper's best is 1.5 epsilon


def check(evidence: Evidence) -> list[Verdict]:
    """Check the best sigma near epsilon against each far one, at each epsilon of each grid."""
    claims = []
    for lines in lines_along(evidence.experiment, "sigma"):
        by_epsilon: dict[float, list[Line]] = {}
        for line in lines:
            if evidence.cells(line[min(line)]):
                by_epsilon.setdefault(evidence.experiment.row(line[min(line)]).epsilon, []).append(line)
        parts: dict[str, Verdict] = {}
        for epsilon, alike in sorted(by_epsilon.items()):
            values = sorted(set.intersection(*map(set, alike)))
            near = [value for value in values if epsilon / NEAR <= value <= epsilon * NEAR]
            far = [value for value in values if value not in near]
            if near and far:
                parts[f"epsilon {epsilon:g}"] = _near_against_far(evidence, alike, near, far)
        if parts:
            claims.append(joined(parts, "; ".join(verdict.detail for verdict in parts.values()), "epsilons"))
        elif by_epsilon:
            claims.append(not_tested("no epsilon has both near and far values of sigma", evidence.images))
    return claims


def _near_against_far(evidence: Evidence, lines: Sequence[Line], near: list[float], far: list[float]) -> Verdict:
    """The verdict at one epsilon: negative where the best far sigma is ahead of all that are near."""

    def best_against(rivals: list[float]) -> Verdict:
        best, pairs = best_value(evidence, lines, rivals)
        named = f"sigma = {best:g}, chosen on half of the images, against {listed(rivals)} on the others"
        return joined({f"{value:g}": contrast(some, "")[0] for value, some in pairs.items()}, named, "values")

    ahead = best_against(far)
    if ahead.sign > 0:
        return ahead
    behind = best_against(near)
    if behind.sign > 0:
        return opposite(behind)
    return judged(0.0, 1.0, ahead.comparisons, ahead.images, f"neither is ahead of all others; {ahead.detail}")
