"""Verdict on a claim: supported, contradicted, undecided or not tested, with the numbers that it rests on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from crossfool.stats import intervals
from crossfool.stats.mean_difference import agreeing, mean_difference_interval
from crossfool.stats.paired_tests import (
    SIGNIFICANCE_LEVEL,
    SMALLEST_P,
    OutcomePair,
    compare_pairs,
    holm_adjusted,
    sign_flip_p,
)

SUPPORTED, CONTRADICTED, UNDECIDED, NOT_TESTED = "supported", "contradicted", "undecided", "not tested"
POWER_FACTOR = (1.959964 + 0.841621) / 1.959964  # half-widths of the interval that are shown with a power of 80%


@dataclass(frozen=True)
class Verdict:
    """Verdict on a claim of the paper.

    Attributes:
        verdict: "supported": the effect has the claimed sign and p < 0.05; "contradicted": it has the other sign, and
            p < 0.05; "undecided"; "not tested": `detail` says why. In an experiment p is Holm's, for all its claims.
        effect: The effect's size, in `unit`; None where not tested.
        unit: "points" (of percent), "cosine", "rank correlation", "times" or "percent".
        p: The two-sided p-value, before Holm's method; where several tests are needed, one for all of them together.
        comparisons: The number of cells or pairs compared.
        images: The number of images that the comparisons rest on.
        detail: What was compared, and further numbers behind the effect.
        sign: 1 where the effect is as claimed, -1 where it is the opposite, 0 where it is neither.
        low, high: 95% interval of the effect; None where there is none.
        smallest_p: The least p that these data could have had: had every unit that could do so gone as claimed.
        detectable: The least effect that would have been significant four times in five; None where there is none.
        units: What the test takes as independent: "images", "sources", "networks", ...
        count: How many of them there are.
        variant: "targeted" where the claim is checked on targeted attacks by itself; else "".
        p_holm: p by Holm's method for all claims of the experiment.
    """

    verdict: str
    effect: float | None
    unit: str
    p: float | None
    comparisons: int
    images: int
    detail: str
    sign: int = 0
    low: float | None = None
    high: float | None = None
    smallest_p: float | None = None
    detectable: float | None = None
    units: str = "images"
    count: int = 0
    variant: str = ""
    p_holm: float | None = None


def judged(
    effect: float,
    p: float,
    comparisons: int,
    images: int,
    detail: str,
    *,
    unit: str = "points",
    sign: int | None = None,
    interval: tuple[float, float] | None = None,
    smallest_p: float | None = None,
    units: str = "images",
    count: int | None = None,
) -> Verdict:
    """Judge an effect by its own p.

    Args:
        effect: As in `Verdict`.
        p: As in `Verdict`.
        comparisons: As in `Verdict`.
        images: As in `Verdict`.
        detail: As in `Verdict`.
        unit: As in `Verdict`.
        smallest_p: As in `Verdict`.
        units: As in `Verdict`.
        sign: As in `Verdict`; that of the effect where it is not given.
        interval: Of the effect.
        count: Number of units; the images where it is not given.
    """
    p, sign = max(p, SMALLEST_P), int(np.sign(effect)) if sign is None else sign
    low, high = interval or (None, None)
    detectable = detectable_effect(low, high)
    if unit == "points" and detectable is not None and detectable > 100:
        detectable = None  # no effect could have been shown
    return Verdict(
        _decided(sign, p),
        effect,
        unit,
        p,
        comparisons,
        images,
        detail,
        sign,
        low,
        high,
        smallest_p,
        detectable,
        units,
        images if count is None else count,
        p_holm=p,
    )


def detectable_effect(low: float | None, high: float | None) -> float | None:
    """The least distance from no effect that would be significant four times in five, by the interval's width."""
    return None if low is None or high is None else POWER_FACTOR * (high - low) / 2


def _decided(sign: int, p: float) -> str:
    if p >= SIGNIFICANCE_LEVEL or sign == 0:
        return UNDECIDED
    return SUPPORTED if sign > 0 else CONTRADICTED


def not_tested(reason: str, images: int = 0, *, effect: float | None = None, unit: str = "points") -> Verdict:
    """The verdict where the experiment has the claim's models or attacks, but cannot test it."""
    return Verdict(NOT_TESTED, effect, unit, None, 0, images, reason)


def adjusted(verdicts: Sequence[Verdict]) -> list[float | None]:
    """p of each verdict by Holm's method for all that were tested; the order stays."""
    p_values = iter(holm_adjusted([verdict.p for verdict in verdicts if verdict.p is not None]))
    return [None if verdict.p is None else next(p_values) for verdict in verdicts]


def decided_again(verdict: Verdict, p_holm: float | None) -> Verdict:
    """The verdict by an adjusted p."""
    return verdict if p_holm is None else replace(verdict, verdict=_decided(verdict.sign, p_holm), p_holm=p_holm)


def opposite(verdict: Verdict) -> Verdict:
    """The verdict of the same p on the claim of the other sign."""
    low, high = (None if end is None else -end for end in (verdict.high, verdict.low))
    effect = None if verdict.effect is None else -verdict.effect
    return decided_again(replace(verdict, effect=effect, sign=-verdict.sign, low=low, high=high), verdict.p)


def contrast(
    pairs: Sequence[OutcomePair],
    detail: str,
    noun: str = "cells",
    counted: Sequence[np.ndarray] | None = None,
) -> list[Verdict]:
    """Judge the claim that the first outcome of each pair exceeds the second; an empty list where there is no pair.

    Args:
        pairs: Outcomes (N,) bool of two attacks on the same images.
        detail: What was compared.
        noun: The plural noun for pairs in the detail.
        counted: For each pair the images (N,) bool to count; all of them, if not given.
    """
    if not pairs:
        return []
    result = compare_pairs(pairs, counted)
    masks = [np.ones(len(pairs[0][0]), bool)] * len(pairs) if counted is None else counted
    room = np.any([mask & (second < 1) for (_, second), mask in zip(pairs, masks, strict=True)], 0)
    interval = _masked_interval(pairs, masks, result.p) if counted else mean_difference_interval(pairs, result.p)
    detail = f"{detail}; ahead in {result.ahead} of {result.comparisons} {noun}"
    return [
        judged(
            result.points,
            result.p,
            result.comparisons,
            result.images,
            detail,
            interval=None if interval is None else (100 * interval[0], 100 * interval[1]),
            smallest_p=smallest_p(int(room.sum())),
        )
    ]


def judged_values(values: np.ndarray, comparisons: int, detail: str, unit: str = "points") -> list[Verdict]:
    """Judge the claim that the mean of values (N,), one an image, is positive: sign-flip test, Student's interval.

    Values are in `unit`, but for points in shares of 1.
    """
    factor = 100 if unit == "points" else 1
    p, mean = sign_flip_p(values), float(values.mean())
    ends = intervals.mean_interval(values)
    interval = None if ends is None else agreeing(*ends, mean, p, 1e-6)
    scaled = None if interval is None else (factor * interval[0], factor * interval[1])
    return [judged(factor * mean, p, comparisons, len(values), detail, unit=unit, interval=scaled)]


def smallest_p(units: int) -> float:
    """The least two-sided p of a sign-flip test of so many units that can differ."""
    return min(1.0, max(SMALLEST_P, 2.0 ** max(1 - units, -1022)))


def _masked_interval(pairs: Sequence[OutcomePair], masks: Sequence[np.ndarray], p: float) -> tuple[float, float] | None:
    """Student's interval of the mean over images of an image's mean difference over the pairs that count it."""
    total = np.sum([np.where(mask, a.astype(float) - b, 0) for (a, b), mask in zip(pairs, masks, strict=True)], 0)
    count = np.sum(masks, 0)
    means = total[count > 0] / count[count > 0]
    ends = intervals.mean_interval(means)
    if ends is None:
        return None
    return agreeing(max(-1.0, ends[0]), min(1.0, ends[1]), float(means.mean()), p, 1e-6)


def joined_unique(texts: Iterable[str]) -> str:
    """The texts in their order, without repetitions, with commas between."""
    return ", ".join(dict.fromkeys(texts))
