"""The paper's claims as it states them, and a checked claim: effect, p-value, verdict and the cells compared."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from crossfool.stats.paired_tests import SIGNIFICANCE_LEVEL, OutcomePair, compare_pairs

STATEMENTS = {  # name of a claim -> place in the paper, and statement
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
    """A claim of the paper, checked on an experiment.

    Attributes:
        name, statement, section: Its name, what it states, and where in the paper.
        holds: Whether the effect has the claimed sign and p < 0.05.
        effect: The effect's size, in `unit`.
        unit: "points" (of percent), "cosine" or "rank correlation".
        p: The two-sided p-value; where several tests are needed, one for all of them together.
        comparisons: The number of cells or pairs compared.
        images: The number of images that the comparisons rest on.
        detail: What was compared, and further numbers behind the effect.
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


def judged_claim(
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
    """Build a claim of `STATEMENTS` with its verdict.

    Args:
        name: A key of `STATEMENTS`.
        effect, p, comparisons, images, detail, unit: As in `Claim`.
        holds: Whether the effect is as claimed; None where the claim is that the effect is positive.
    """
    section, statement = STATEMENTS[name]
    verdict = (effect > 0 if holds is None else holds) and p < SIGNIFICANCE_LEVEL
    return Claim(name, statement, section, bool(verdict), effect, unit, p, comparisons, images, detail)


def contrast_claim(
    name: str,
    pairs: Sequence[OutcomePair],
    detail: str,
    noun: str = "cells",
    counted: Sequence[np.ndarray] | None = None,
) -> list[Claim]:
    """Check the claim that the first outcome of each pair exceeds the second; an empty list where there is no pair.

    Args:
        name: A key of `STATEMENTS`.
        pairs: Outcomes (N,) of two attacks on the same images.
        detail: What was compared.
        noun: The plural noun for pairs in the detail.
        counted: For each pair the images (N,) bool to count; all of them, if not given.
    """
    if not pairs:
        return []
    result = compare_pairs(pairs, counted)
    detail = f"{detail}; ahead in {result.ahead} of {result.comparisons} {noun}"
    return [judged_claim(name, result.points, result.p, result.comparisons, result.images, detail)]


def joined_unique(texts: Iterable[str]) -> str:
    """The texts in their order, without repetitions, with commas between."""
    return ", ".join(dict.fromkeys(texts))
