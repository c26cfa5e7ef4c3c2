"""Variation of the smoothed gradient from pixel to pixel, against the plain gradient's."""

from dataclasses import replace

import numpy as np

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._every import joined
from crossfool.report.claims._verdict import Verdict, judged_values, smallest_p

CLAIM = {
    "statement": "The smoothed gradient varies less from pixel to pixel than the plain one.",
    "section": "appendix A, figure 6",
    "test": (
        "sign-flip test over images of the fall in total variation, divided by the gradient's L1 norm, relative to the "
        "mean of both; the largest p of all analyses"
    ),
    "order": 175,
}


def check(evidence: Evidence) -> list[Verdict]:
    """Check the total variation of the gradient of the most samples against the plain one's, in every analysis."""
    parts: dict[str, Verdict] = {}
    for name, (samples, variation) in evidence.variation.items():
        plain, smoothed = variation[:, 0], variation[:, -1]
        known = plain > 0  # of a gradient of zeros nothing can fall
        if known.any():
            # relative to the mean of both: symmetric where neither varies less, which a ratio is not
            fall = 200 * (plain[known] - smoothed[known]) / (plain[known] + smoothed[known])
            (verdict,) = judged_values(fall, 1, "", "percent")
            means = f"{np.mean(plain[known]):.2f} to {np.mean(smoothed[known]):.2f}"
            label = f"{name}, m = {samples[-1]}: {means}, fall in percent"
            parts[label] = replace(verdict, smallest_p=smallest_p(len(fall)))
    return [joined(parts, "total variation divided by the L1 norm", "analyses")] if parts else []
