"""The attacks of an experiment against each other on the same images, and what is known of their takes.

An image's success is its mean over the black-box cells, since cells share their images; intervals are Student's over
images (Wilson's, or Newcombe's for a difference, where there is one cell). Imports no torch.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from crossfool.experiment.results.metrics import Results
from crossfool.experiment.results.outcomes import Evidence
from crossfool.experiment.results.snapshots import OBJECTIVES, rank_among
from crossfool.stats import intervals, paired_difference
from crossfool.stats import rates as stats_rates
from crossfool.stats.paired_tests import LEVEL, holm

Rows = list[dict[str, Any]]


def ranked(results: Results, evidence: Evidence) -> Rows:
    """Attacks by success, the best first, untargeted ones before targeted; beside what they cost and change.

    Equals share a rank, the cheaper first.
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
        found: dict[str, Any] = {"attack": attack, "objective": row.objective}
        found |= {"success": round(rate, 4), "low": low, "high": high}
        found |= {"cells": len(cells), "n": len(hits[0]), "gradients": row.gradients}
        found |= {"success_per_gradient": round(rate / row.gradients, 4)}
        found |= {key: round(float(np.mean([size[key] for size in sizes])), 4) for key in ("l2", "linf", "ssim")}
        apart = [size.get("lpips") for size in sizes]
        found["lpips"] = None if None in apart else round(float(np.mean(apart)), 4)
        rows.append(found)
    rows.sort(key=lambda one: (one["objective"] == "targeted", -one["success"], one["gradients"]))
    rivals = {objective: [one["success"] for one in rows if one["objective"] == objective] for objective in OBJECTIVES}
    return [{"rank": rank_among(one["success"], rivals[one["objective"]]), **one} for one in rows]


def _ends(hits: Sequence[np.ndarray]) -> tuple[float | None, float | None]:
    """The 95% interval of the mean over cells, in percent; None where no image differs from another.

    Wilson's over images where there is one cell, or where the attack succeeds on all images of all cells, or on none.
    """
    if len(hits) == 1 or len(np.unique(hits)) == 1:
        found = stats_rates.rate(int(hits[0].sum()), len(hits[0]))
        return found.low, found.high
    interval = intervals.mean(np.mean(hits, 0))
    if interval is None:
        return None, None
    low, high = (round(100 * min(max(end, 0.0), 1.0), 4) for end in interval)
    return low, high


def pairwise(evidence: Evidence) -> Rows:
    """Every two attacks of one objective: by how much the first succeeds more often, and whether that is chance.

    p is of the exact McNemar test where they share one black-box cell, else of the exact sign-flip permutation test
    over images; `p_holm` is adjusted by Holm's method for all pairs of the table.
    """
    attacks = evidence.experiment.attacks
    rows: Rows = []
    for first, second in itertools.combinations(attacks, 2):
        pairs = evidence.against(first, second)
        if attacks[first].objective != attacks[second].objective or not pairs:
            continue
        one = paired_difference.pooled(pairs)
        found: dict[str, Any] = {"first": first, "second": second, "objective": attacks[first].objective}
        found |= {"difference": round(one.points, 4)}
        found |= {name: None if end is None else round(end, 4) for name, end in (("low", one.low), ("high", one.high))}
        found |= {"p": one.p}
        found |= {"cells": len(pairs), "n": len(pairs[0][0])}
        rows.append(found)
    adjusted = holm([row["p"] for row in rows])
    return [row | {"p_holm": p, "differs": p < LEVEL} for row, p in zip(rows, adjusted, strict=True)]


def mcnemar(evidence: Evidence) -> Rows:
    """Every two attacks of one objective on each black-box cell that both have, by the exact McNemar test.

    `first_alone` and `second_alone` count the images that only that one succeeds on, which the test is of; `p_holm` is
    adjusted by Holm's method for all rows of the table.
    """
    attacks = evidence.experiment.attacks
    rows: Rows = []
    for first, second in itertools.combinations(attacks, 2):
        if attacks[first].objective != attacks[second].objective:
            continue
        for (source, target), (a, b) in zip(
            evidence.common(first, second), evidence.against(first, second), strict=True
        ):
            one = paired_difference.paired((a, b))
            found: dict[str, Any] = {"first": first, "second": second, "objective": attacks[first].objective}
            found |= {"source": source, "target": target}
            found |= {"first_rate": round(100 * float(a.mean()), 4), "second_rate": round(100 * float(b.mean()), 4)}
            found |= {
                "difference": round(one.points, 4),
                "low": round(one.low or 0.0, 4),
                "high": round(one.high or 0.0, 4),
            }
            found |= {"first_alone": int((a & ~b).sum()), "second_alone": int((b & ~a).sum()), "p": one.p}
            rows.append(found | {"n": len(a)})
    adjusted = holm([row["p"] for row in rows])
    return [row | {"p_holm": p, "differs": p < LEVEL} for row, p in zip(rows, adjusted, strict=True)]
