"""Best sigma of smoothed gradients against the least and the greatest."""

import numpy as np

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._lines import best_value, lines_along, listed, split_images
from crossfool.report.claims._verdict import Verdict, judged, smallest_p
from crossfool.stats.mean_difference import mean_difference_interval
from crossfool.stats.paired_tests import compare_pairs

CLAIM = {
    "statement": "Some sigma between the least and the greatest transfers better than both.",
    "section": "section 7.2, figure 4b",
    "test": (
        "paired tests of the best inner sigma, chosen on half of the images, against the least and the greatest on the "
        "other half: the larger p; twice the p where an end is better"
    ),
    "order": 100,
}


def check(evidence: Evidence) -> list[Verdict]:
    """Check the best inner sigma against both ends; the effect is the smaller of the two differences."""
    claims = []
    for lines in lines_along(evidence.experiment, "sigma"):
        lines = [line for line in lines if len(line) >= 3 and evidence.cells(line[min(line)])]
        if lines:
            values = sorted(set.intersection(*map(set, lines)))
            best, pairs = best_value(evidence, lines, (values[0], values[-1]))
            ends = {value: compare_pairs(pairs[value]) for value in pairs}
            rival = min(ends, key=lambda value: ends[value].points)
            nearest = ends[rival]
            p = max(end.p for end in ends.values()) if nearest.points > 0 else min(1.0, 2 * nearest.p)
            low, high = mean_difference_interval(pairs[rival], p)
            tested = len(split_images(evidence.images)[1])
            room = int(np.any([~other for _, other in pairs[rival]], 0).sum())
            detail = (
                f"best inner sigma of {listed(values)} is {best:g}, chosen on "
                f"{evidence.images - tested} images and tested on {tested} others; nearest is sigma = {rival:g}"
            )
            comparisons = sum(end.comparisons for end in ends.values())
            interval, least = (100 * low, 100 * high), smallest_p(room)
            claims.append(judged(nearest.points, p, comparisons, tested, detail, interval=interval, smallest_p=least))
    return claims
