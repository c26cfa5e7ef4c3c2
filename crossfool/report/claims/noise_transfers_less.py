"""Likeness of the target's gradient to the smooth part G of the source's gradient, against the noise h."""

from dataclasses import replace

import numpy as np

from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims._analyses import with_itself, with_others
from crossfool.report.claims._every import joined
from crossfool.report.claims._verdict import Verdict, judged_values, not_tested, smallest_p

CLAIM = {
    "statement": "The noise h in the source's gradient transfers less to the target than the smoothed gradient G.",
    "section": "section 6.2, figures 3b and 9",
    "test": (
        "sign-flip test over images of the target's cosine with G less that with h; the largest p of all analyses"
    ),
    "order": 75,
}
LEAST_NOISE = 1e-6  # 1 - cos²(g, G), below which the gradient has no noise: cosines have nine digits


def check(evidence: Evidence) -> list[Verdict]:
    """Check the cosine of G with the target's gradient against that of h = g - <g,G>G, in every analysis.

    By h's definition cos(h, b) = (cos(g, b) - cos(g, G) cos(G, b)) / sqrt(1 - cos²(g, G)) for the target's gradient b.
    cos(g, G) is known where a second analysis has the source for its target, too, on the same images and noise. A
    cosine is the target's rise in loss by a short step along a unit vector, as a share of its steepest.
    """
    parts: dict[str, Verdict] = {}
    lacking = []
    for name, samples, cosines in with_others(evidence):
        if name not in evidence.experiment.similarity or samples[0] != 0:
            continue
        row = evidence.experiment.similarity[name]
        own = {one: evidence.similarity[one] for one in with_itself(evidence, row)}
        common = {one: set(samples) & set(found[0]) - {0} for one, found in own.items()}
        best = max(common, key=lambda one: max(common[one], default=0), default=None)
        if best is None or not common[best]:
            lacking.append(f"{{source: {row.source}, target: {row.source}, ...}} beside {name}")
            continue
        m = max(common[best])
        smooth, noise = directions(cosines[:, 0], cosines[:, samples.index(m)], own[best][1][:, own[best][0].index(m)])
        if not len(smooth):
            continue
        (verdict,) = judged_values(smooth - noise, 1, "", "cosine")
        label = f"{name}, m = {m}: G {smooth.mean():.3f}, h {noise.mean():.3f}, difference"
        parts[label] = replace(verdict, smallest_p=smallest_p(len(smooth)))
    if not parts:
        reason = f"needs an analysis of the source with itself, on the same images and noise: {'; '.join(lacking)}"
        return [not_tested(reason, unit="cosine")] if lacking else []
    return [joined(parts, "cosine with the target's gradient", "analyses")]


def directions(plain: np.ndarray, smoothed: np.ndarray, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosines (N,) of G and of h with the target's gradient, of images where the gradient has noise.

    Args:
        plain, smoothed: Cosines (N,) of the source's gradient g and of G with the target's gradient.
        own: Cosines (N,) of G with g.
    """
    rest = 1 - own**2
    noisy = rest > LEAST_NOISE
    across = (plain[noisy] - own[noisy] * smoothed[noisy]) / np.sqrt(rest[noisy])
    return smoothed[noisy], across
