"""Likeness of the smoothed gradient to the target's, as samples are added."""

import numpy as np

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._analyses import with_others
from crossfool.report.claims._verdict import Verdict, judged
from crossfool.stats.paired_tests import sign_flip_p, spearman_rho

CLAIM = {
    "statement": "The smoothed gradient's likeness to the target's gradient never falls as samples are added.",
    "section": "section 6.2, figure 3a",
    "test": "sign-flip test of the most samples against the fewest; the largest p of all analyses",
    "order": 70,
}


def check(evidence: Evidence) -> list[Verdict]:
    """Check that the mean cosine never falls as samples are added, in every analysis.

    The effect is the rank correlation of m with the mean cosine; p is of the most samples against the fewest.
    """
    ranks, p_values, rising, details = [], [], [], []
    for name, samples, cosines in with_others(evidence):
        smoothed = [place for place, m in enumerate(samples) if m]
        if len(smoothed) > 1:
            smoothed_cosines = cosines[:, smoothed]
            means = smoothed_cosines.mean(0)
            ranks.append(spearman_rho(smoothed, means) or 0.0)
            p_values.append(sign_flip_p(smoothed_cosines[:, -1] - smoothed_cosines[:, 0]))
            rising.append(bool((np.diff(means) >= 0).all()))
            verdict = "never falls" if rising[-1] else "falls"
            details.append(f"{name}: {verdict}, p {p_values[-1]:.3g}, {len(cosines)} images")
    if not ranks:
        return []
    images = min(len(cosines) for _, _, cosines in with_others(evidence))
    effect, p, unit = float(np.mean(ranks)), max(p_values), "rank correlation"
    detail = "; ".join(details)
    sign = 1 if all(rising) and effect > 0 else min(0, int(np.sign(round(effect, 9))))
    return [judged(effect, p, len(ranks), images, detail, unit=unit, sign=sign)]
