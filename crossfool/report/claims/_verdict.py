"""Verdict on a claim: effect, p-value, and the cells compared."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from crossfool.stats.paired_tests import SIGNIFICANCE_LEVEL, OutcomePair, compare_pairs


@dataclass(frozen=True)
class Verdict:
    """Verdict on a claim of the paper.

    Attributes:
        holds: Whether the effect has the claimed sign and p < 0.05.
        effect: The effect's size, in `unit`.
        unit: "points" (of percent), "cosine" or "rank correlation".
        p: The two-sided p-value; where several tests are needed, one for all of them together.
        comparisons: The number of cells or pairs compared.
        images: The number of images that the comparisons rest on.
        detail: What was compared, and further numbers behind the effect.
    """

    holds: bool
    effect: float
    unit: str
    p: float | None
    comparisons: int
    images: int
    detail: str


def judged(
    effect: float,
    p: float,
    comparisons: int,
    images: int,
    detail: str,
    *,
    unit: str = "points",
    holds: bool | None = None,
) -> Verdict:
    """Judge an effect.

    Args:
        effect, p, comparisons, images, detail, unit: As in `Verdict`.
        holds: Whether the effect is as claimed; None where the claim is that the effect is positive.
    """
    verdict = (effect > 0 if holds is None else holds) and p < SIGNIFICANCE_LEVEL
    return Verdict(bool(verdict), effect, unit, p, comparisons, images, detail)


def contrast(
    pairs: Sequence[OutcomePair],
    detail: str,
    noun: str = "cells",
    counted: Sequence[np.ndarray] | None = None,
) -> list[Verdict]:
    """Judge the claim that the first outcome of each pair exceeds the second; an empty list where there is no pair.

    Args:
        pairs: Outcomes (N,) of two attacks on the same images.
        detail: What was compared.
        noun: The plural noun for pairs in the detail.
        counted: For each pair the images (N,) bool to count; all of them, if not given.
    """
    if not pairs:
        return []
    result = compare_pairs(pairs, counted)
    detail = f"{detail}; ahead in {result.ahead} of {result.comparisons} {noun}"
    return [judged(result.points, result.p, result.comparisons, result.images, detail)]


def joined_unique(texts: Iterable[str]) -> str:
    """The texts in their order, without repetitions, with commas between."""
    return ", ".join(dict.fromkeys(texts))
