"""Attacks of an experiment ranked by success, and compared in pairs on the same images.

An image's success is its mean over the black-box cells, since cells share their images; intervals are Student's over
images (Wilson's, or Newcombe's for a difference, where there is one cell). Imports no torch.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from crossfool.experiment.results.detail_rows import OBJECTIVES, rank_among
from crossfool.experiment.results.metrics import Results
from crossfool.experiment.results.outcomes import Evidence
from crossfool.stats import intervals
from crossfool.stats.paired_difference import paired_difference, pooled_difference
from crossfool.stats.paired_tests import SIGNIFICANCE_LEVEL, holm_adjusted
from crossfool.stats.rates import wilson_rate as wilson_rate

Rows = list[dict[str, Any]]


def ranking_rows(results: Results, evidence: Evidence) -> Rows:
    """Rank attacks by success, the best first, untargeted before targeted ones; with their cost and image distances.

    Equals share a rank, the cheaper first. Rates are percent.
    """
    rows: Rows = []
    for attack, row in results.experiment.attacks.items():
        cells = evidence.cells(attack)
        if not cells:
            continue
        hits = [evidence.success(source, attack, target) for source, target in cells]
        low, high = _ends(hits)
        sizes = [results.detail[source, attack]["size"] for source in dict.fromkeys(source for source, _ in cells)]
        rate = 100 * float(np.mean(hits))
        entry: dict[str, Any] = {"attack": attack, "objective": row.objective}
        entry |= {"success": round(rate, 4), "low": low, "high": high}
        entry |= {"cells": len(cells), "n": len(hits[0]), "gradients": row.gradient_evaluations_per_seed}
        entry |= {"success_per_gradient": round(rate / row.gradient_evaluations_per_seed, 4)}
        entry |= {key: round(float(np.mean([size[key] for size in sizes])), 4) for key in ("l2", "linf", "ssim")}
        distances = [size.get("lpips") for size in sizes]
        entry["lpips"] = None if None in distances else round(float(np.mean(distances)), 4)
        rows.append(entry)
    rows.sort(key=lambda row: (row["objective"] == "targeted", -row["success"], row["gradients"]))
    rivals = {objective: [row["success"] for row in rows if row["objective"] == objective] for objective in OBJECTIVES}
    return [{"rank": rank_among(row["success"], rivals[row["objective"]]), **row} for row in rows]


def _ends(hits: Sequence[np.ndarray]) -> tuple[float | None, float | None]:
    """The 95% interval of the mean over cells, in percent: low and high; None where no image differs from another.

    Student's over images; Wilson's where there is one cell, or where the attack succeeds on all images of all cells,
    or on none.

    Args:
        hits: The outcome of each cell, (N,) bool.
    """
    if len(hits) == 1 or len(np.unique(hits)) == 1:
        rate = wilson_rate(int(hits[0].sum()), len(hits[0]))
        return rate.low, rate.high
    interval = intervals.mean_interval(np.mean(hits, 0))
    if interval is None:
        return None, None
    low, high = (round(100 * min(max(end, 0.0), 1.0), 4) for end in interval)
    return low, high


def pairwise_rows(evidence: Evidence) -> Rows:
    """Compare every two attacks of one objective, pooled over black-box cells: difference in success, interval and p.

    p is of the exact McNemar test where they share one black-box cell, else of the exact sign-flip permutation test
    over images; `p_holm` is adjusted by Holm's method for all pairs of the table.
    """
    attacks = evidence.experiment.attacks
    rows: Rows = []
    for first, second in itertools.combinations(attacks, 2):
        pairs = evidence.against(first, second)
        if attacks[first].objective != attacks[second].objective or not pairs:
            continue
        difference = pooled_difference(pairs)
        row: dict[str, Any] = {"first": first, "second": second, "objective": attacks[first].objective}
        row |= {"difference": round(difference.points, 4)}
        ends = (("low", difference.low), ("high", difference.high))
        row |= {name: None if end is None else round(end, 4) for name, end in ends}
        row |= {"p": difference.p}
        row |= {"cells": len(pairs), "n": len(pairs[0][0])}
        rows.append(row)
    adjusted = holm_adjusted([row["p"] for row in rows])
    return [row | {"p_holm": p, "differs": p < SIGNIFICANCE_LEVEL} for row, p in zip(rows, adjusted, strict=True)]


def mcnemar_rows(evidence: Evidence) -> Rows:
    """Compare every two attacks of one objective on each black-box cell that both have, by the exact McNemar test.

    `first_alone` and `second_alone` count the images that only that attack succeeds on, the only ones that the test
    uses; `p_holm` is adjusted by Holm's method for all rows of the table.
    """
    attacks = evidence.experiment.attacks
    rows: Rows = []
    for first, second in itertools.combinations(attacks, 2):
        if attacks[first].objective != attacks[second].objective:
            continue
        for (source, target), (a, b) in zip(
            evidence.common(first, second), evidence.against(first, second), strict=True
        ):
            difference = paired_difference((a, b))
            row: dict[str, Any] = {"first": first, "second": second, "objective": attacks[first].objective}
            row |= {"source": source, "target": target}
            row |= {"first_rate": round(100 * float(a.mean()), 4), "second_rate": round(100 * float(b.mean()), 4)}
            row |= {
                "difference": round(difference.points, 4),
                "low": round(difference.low or 0.0, 4),
                "high": round(difference.high or 0.0, 4),
            }
            row |= {"first_alone": int((a & ~b).sum()), "second_alone": int((b & ~a).sum()), "p": difference.p}
            rows.append(row | {"n": len(a)})
    adjusted = holm_adjusted([row["p"] for row in rows])
    return [row | {"p_holm": p, "differs": p < SIGNIFICANCE_LEVEL} for row, p in zip(rows, adjusted, strict=True)]
