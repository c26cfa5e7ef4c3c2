"""What a checked claim is: cells it rests on, effect, interval, p-value and verdict."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from crossfool.stats.paired_tests import LEVEL, Pair, contrast

SAID = {  # claim -> where in the paper, and what
    "asymmetry": ("section 5.1, table 1", "Between some two models, attacks succeed more often one way than back."),
    "same_family": (
        "section 5.1, table 1",
        "Attacks transfer better to models of the source's own architecture than to others.",
    ),
    "depth": ("section 5.2, table 2", "Attacks from a shallow model transfer better than from a deep one of its kind."),
    "accuracy": ("section 5.2, figure 1", "Attacks transfer better the smaller the source's test error is."),
    "capacity": ("section 5.2, figure 1", "Attacks transfer better the fewer parameters the source has."),
    "similarity_smoothed": (
        "section 6.2, figure 3a",
        "The source's smoothed gradient is more like the target's gradient than its plain one is.",
    ),
    "similarity_rises": (
        "section 6.2, figure 3a",
        "The smoothed gradient's likeness to the target's gradient never falls as samples are added.",
    ),
    "smoothing_every_epsilon": (
        "section 7.2, figure 4a",
        "Smoothed gradients transfer better than plain ones over all epsilons, and worse at none.",
    ),
    "more_samples": ("section 7.2, figure 4a", "Smoothed gradients of more samples transfer better."),
    "sigma_optimum": (
        "section 7.2, figure 4b",
        "Some sigma between the least and the greatest transfers better than both.",
    ),
    "smoothing_equal_cost": (
        "section 7.3, table 3",
        "Smoothed gradients transfer better than plain ones at the same count of gradient evaluations.",
    ),
    "smoothing_equal_steps": (
        "section 7.3, tables 4 and 5",
        "Smoothed gradients transfer better than plain ones in the same steps.",
    ),
    "smoothing": (
        "appendix C, table 6",
        "Smoothed gradients transfer better than plain ones that take other steps at another cost.",
    ),
    "smoothing_momentum": ("section 7.3, table 5", "Smoothed gradients make momentum attacks transfer better."),
    "smoothing_beats_momentum": (
        "section 7.3, table 5",
        "Smoothed gradients without momentum transfer better than plain ones with momentum.",
    ),
    "smoothing_ensembles": ("section 7.3, table 4", "Smoothed gradients make attacks from ensembles transfer better."),
    "survives_transforms": (
        "section 7.4, figure 5",
        "Adversarial images made by smoothed gradients survive image transforms better than those by plain ones.",
    ),
    "large_steps": ("appendix B, figure 7", "Targeted attacks transfer better by a larger step than by the smallest."),
}


@dataclass(frozen=True)
class Claim:
    """What became of one of the paper's claims.

    Attributes:
        name, statement, section: What is claimed, and where in the paper.
        holds: Whether the effect has the claimed sign and p < 0.05.
        effect: Its size, in `unit`: points (of percent), cosine, or rank correlation.
        p: Two-sided; where several tests are needed, of all together.
        comparisons: Cells or pairs compared.
        images: That the comparisons rest on.
        detail: What was compared, and what stands behind the effect.
    """

    name: str
    statement: str
    section: str
    holds: bool
    effect: float
    unit: str
    p: float | None
    comparisons: int
    images: int
    detail: str


def claim(
    name: str,
    effect: float,
    p: float,
    comparisons: int,
    images: int,
    detail: str,
    *,
    unit: str = "points",
    holds: bool | None = None,
) -> Claim:
    """A claim of `SAID` with its verdict; `holds` where a positive effect alone is not what is claimed."""
    section, statement = SAID[name]
    verdict = (effect > 0 if holds is None else holds) and p < LEVEL
    return Claim(name, statement, section, bool(verdict), effect, unit, p, comparisons, images, detail)


def contrasted(
    name: str, pairs: Sequence[Pair], detail: str, what: str = "cells", counted: Sequence[np.ndarray] | None = None
) -> list[Claim]:
    """The claim that the first of each pair exceeds the second; none where there is no pair."""
    if not pairs:
        return []
    found = contrast(pairs, counted)
    detail = f"{detail}; ahead in {found.ahead} of {found.comparisons} {what}"
    return [claim(name, found.points, found.p, found.comparisons, found.images, detail)]


def listed(words: Iterable[str]) -> str:
    """Each once, in order."""
    return ", ".join(dict.fromkeys(words))
