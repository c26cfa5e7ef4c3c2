"""Attacks of an experiment ranked by success, and compared in pairs on the same images.

Intervals of rates are those of `stats.mean_rate`, of differences those of `stats.mean_difference`. Imports no torch.
"""

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np

from crossfool.experiment.results.detail_rows import OBJECTIVES, rank_among
from crossfool.experiment.results.mean_rates import mean_rates
from crossfool.experiment.results.metrics import Results
from crossfool.experiment.results.outcomes import Evidence
from crossfool.stats.paired_difference import paired_difference, pooled_difference
from crossfool.stats.paired_tests import SIGNIFICANCE_LEVEL, holm_adjusted

Rows = list[dict[str, Any]]


def ranking_rows(results: Results, evidence: Evidence) -> Rows:
    """Rank attacks by success, the best first, untargeted before targeted ones; with their cost and image distances.

    Equals share a rank, the cheaper first. Rates are percent.
    """
    rows: Rows = []
    for attack, mean in mean_rates(evidence).items():
        row, sources = evidence.experiment.attacks[attack], dict.fromkeys(cell[0] for cell in evidence.cells(attack))
        entry: dict[str, Any] = {"attack": attack, "objective": row.objective}
        entry |= {"success": mean.percent, "low": mean.low, "high": mean.high}
        entry |= {"cells": mean.cells, "n": mean.n, "gradients": row.gradient_evaluations_per_seed}
        entry |= {"success_per_gradient": round(mean.percent / row.gradient_evaluations_per_seed, 4)}
        entry |= image_distances(results, attack, sources)
        rows.append(entry)
    rows.sort(key=lambda row: (row["objective"] == "targeted", -row["success"], row["gradients"]))
    rivals = {objective: [row["success"] for row in rows if row["objective"] == objective] for objective in OBJECTIVES}
    return [{"rank": rank_among(row["success"], rivals[row["objective"]]), **row} for row in rows]


def image_distances(results: Results, attack: str, sources: Iterable[str]) -> dict[str, float | None]:
    """Mean distances of an attack's adversarial images from clean ones over cells: l2, linf, ssim, lpips.

    Norms are in pixel values; lpips is None where a cell has none.
    """
    sizes = [results.detail[source, attack]["size"] for source in sources]
    distances: dict[str, float | None] = {
        key: round(float(np.mean([size[key] for size in sizes])), 4) for key in ("l2", "linf", "ssim")
    }
    perceptual = [size.get("lpips") for size in sizes]
    return distances | {"lpips": None if None in perceptual else round(float(np.mean(perceptual)), 4)}


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
        row |= {"low": round(difference.low, 4), "high": round(difference.high, 4)}
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
                "low": round(difference.low, 4),
                "high": round(difference.high, 4),
            }
            row |= {"first_alone": int((a & ~b).sum()), "second_alone": int((b & ~a).sum()), "p": difference.p}
            rows.append(row | {"n": len(a)})
    adjusted = holm_adjusted([row["p"] for row in rows])
    return [row | {"p_holm": p, "differs": p < SIGNIFICANCE_LEVEL} for row, p in zip(rows, adjusted, strict=True)]
