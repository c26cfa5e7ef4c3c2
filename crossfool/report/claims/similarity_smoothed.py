"""Likeness of the smoothed gradient to the target's, against the plain gradient's."""

import numpy as np

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._analyses import with_others
from crossfool.report.claims._verdict import Verdict, judged
from crossfool.stats.paired_tests import sign_flip_p

CLAIM = {
    "statement": "The source's smoothed gradient is more like the target's gradient than its plain one is.",
    "section": "section 6.2, figure 3a",
    "test": "sign-flip test of the cosines' differences, on the same images; the largest p of all analyses",
    "order": 60,
}


def check(evidence: Evidence) -> list[Verdict]:
    """Check that the cosine at the most samples exceeds the plain gradient's, in every analysis."""
    gains, p_values, details = [], [], []
    for name, samples, cosines in with_others(evidence):
        if samples[0] == 0 and len(samples) > 1:
            difference = cosines[:, -1] - cosines[:, 0]
            gains.append(float(difference.mean()))
            p_values.append(sign_flip_p(difference))
            details.append(
                f"{name}: {gains[-1]:+.4f} at m = {samples[-1]}, p {p_values[-1]:.3g}, {len(cosines)} images"
            )
    if not gains:
        return []
    images = min(len(cosines) for _, _, cosines in with_others(evidence))
    sign = 1 if min(gains) > 0 else -1 if max(gains) < 0 else 0
    effect, p, detail = float(np.mean(gains)), max(p_values), "; ".join(details)
    return [judged(effect, p, len(gains), images, detail, unit="cosine", sign=sign)]
