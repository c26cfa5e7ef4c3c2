"""Claims of every part (attack, cell, epsilon, transform): each part is tested by itself, and all have to hold.

An intersection-union test. The claim is supported where each part is significant by itself, so that its p is the
largest of all; this needs no correction (Berger 1982, Technometrics 24). It is contradicted where some part is
significantly of the other sign, by Holm's method over the parts.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from crossfool.report.claims._verdict import Verdict, contrast, judged
from crossfool.stats.mean_difference import agreeing
from crossfool.stats.paired_tests import SIGNIFICANCE_LEVEL, OutcomePair, holm_adjusted

SHOWN = 10  # parts that a verdict's detail lists
Counted = Sequence[np.ndarray]


def every(
    pairs: Mapping[str, Sequence[OutcomePair]], detail: str, noun: str, counted: Mapping[str, Counted] | None = None
) -> Verdict:
    """Judge the claim that in each part the first outcomes of its pairs exceed the second.

    Args:
        pairs: Part -> pairs of outcomes (N,) bool on the same images, at least one; at least one part.
        detail: What was compared.
        noun: The plural noun for parts in the detail.
        counted: Part -> for each of its pairs the images (N,) bool to count; all of them, if not given.
    """
    masks = counted or {}
    return joined({name: contrast(some, "", counted=masks.get(name))[0] for name, some in pairs.items()}, detail, noun)


def joined(parts: Mapping[str, Verdict], detail: str, noun: str) -> Verdict:
    """Judge the claim that all parts hold; the effect is the least of the parts'.

    The interval goes from the least lower end to the least upper end: it excludes 0 where p is below 0.05.

    Args:
        parts: Part -> its verdict, with an effect and p.
        detail: What was compared.
        noun: The plural noun for parts in the detail.
    """
    verdicts = sorted(parts.items(), key=lambda part: part[1].effect or 0.0)
    effects = [verdict.effect or 0.0 for _, verdict in verdicts]
    p_values = [1.0 if verdict.p is None else verdict.p for _, verdict in verdicts]
    behind = [p for p, effect in zip(holm_adjusted(p_values), effects, strict=True) if effect < 0]
    p = min(behind) if behind else max(p_values)
    least = [verdict.smallest_p for _, verdict in verdicts if verdict.smallest_p is not None]
    shown = "; ".join(f"{name} {_text(verdict)}" for name, verdict in verdicts[:SHOWN])
    more = f"; the {SHOWN} least of {len(verdicts)}" if len(verdicts) > SHOWN else ""
    ahead = sum(effect > 0 for effect in effects)
    alone = sum(effect > 0 and p < SIGNIFICANCE_LEVEL for p, effect in zip(p_values, effects, strict=True))
    return judged(
        effects[0],
        p,
        sum(verdict.comparisons for _, verdict in verdicts),
        min(verdict.images for _, verdict in verdicts),
        f"{detail}; ahead in {ahead} of {len(verdicts)} {noun}, in {alone} significantly; {shown}{more}",
        unit=verdicts[0][1].unit,
        interval=_interval([verdict for _, verdict in verdicts], effects[0], p),
        smallest_p=max(least, default=None),
    )


def _interval(verdicts: Sequence[Verdict], effect: float, p: float) -> tuple[float, float] | None:
    """From the least lower end of the parts' intervals to the least upper one; None where a part has none."""
    ends = [(verdict.low, verdict.high) for verdict in verdicts if verdict.low is not None and verdict.high is not None]
    if len(ends) < len(verdicts):
        return None
    return agreeing(min(low for low, _ in ends), min(high for _, high in ends), effect, p, 1e-6)


def _text(verdict: Verdict) -> str:
    """A part's effect and p."""
    return f"{verdict.effect:+.3g} (p {verdict.p:.2g})"
