"""Best step size of targeted attacks against the best of untargeted ones."""

from collections.abc import Sequence

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._every import joined
from crossfool.report.claims._lines import Line, best_value, lines_along, listed
from crossfool.report.claims._verdict import Verdict, contrast, judged, not_tested, opposite

CLAIM = {
    "statement": "Targeted attacks transfer best by a larger step than untargeted ones.",
    "section": "section 7.3, appendix B",
    "test": (
        "paired tests of the step sizes that are best for targeted and for untargeted attacks, chosen on half of the "
        "images, against one another on the other half: the larger p of both objectives"
    ),
    "order": 186,
}
OBJECTIVES = ("targeted", "untargeted")


def check(evidence: Evidence) -> list[Verdict]:
    """Check that each objective's best step size beats the other's, in the most steps, and which one is larger."""
    lines = {objective: _lines(evidence, objective) for objective in OBJECTIVES}
    if not lines["targeted"]:
        return []
    if not lines["untargeted"]:
        return [not_tested("no grid varies the step size of untargeted attacks", evidence.images)]
    common = set.intersection(*(set(line) for some in lines.values() for line in some))
    if len(common) < 2:
        reason = "grids of targeted and untargeted attacks share fewer than two step sizes"
        return [not_tested(reason, evidence.images)]
    shared = {name: [{value: line[value] for value in line if value in common} for line in some]
              for name, some in lines.items()}  # fmt: skip
    best = {name: best_value(evidence, some, ())[0] for name, some in shared.items()}
    detail = (
        f"best of step sizes {listed(sorted(common))} are {best['targeted']:g} "
        f"(targeted) and {best['untargeted']:g}, chosen on half of the images"
    )
    if best["targeted"] == best["untargeted"]:
        return [judged(0.0, 1.0, len(shared), evidence.images, detail)]
    parts = {}
    for name, rival in zip(OBJECTIVES, reversed(OBJECTIVES), strict=True):
        chosen, pairs = best_value(evidence, shared[name], (best[rival],))
        parts[f"{name} {chosen:g} against {best[rival]:g}"] = contrast(pairs[best[rival]], "")[0]
    verdict = joined(parts, detail, "objectives")
    if verdict.sign > 0 and best["targeted"] < best["untargeted"]:
        return [opposite(verdict)]
    if verdict.sign < 0:  # what was best on half of the images is not on the others: neither is shown
        return [judged(0.0, 1.0, verdict.comparisons, verdict.images, verdict.detail)]
    return [verdict]


def _lines(evidence: Evidence, objective: str) -> Sequence[Line]:
    """Lines along the step size of an objective's attacks in the most steps, of all grids."""
    rows = evidence.experiment.row
    found = [line for some in lines_along(evidence.experiment, "step_size") for line in some]
    found = [line for line in found if rows(line[min(line)]).objective == objective and evidence.cells(line[min(line)])]
    most = max((rows(line[min(line)]).steps for line in found), default=0)
    return [line for line in found if rows(line[min(line)]).steps == most]
