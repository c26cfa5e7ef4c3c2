"""The number of Gaussian samples with the same success as m antithetic or Latin samples."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from crossfool.experiment.results.outcomes import Evidence

BOOTSTRAP_DRAWS = 2_000
KEYS_WITHIN_FAMILY = {"samples", "noise"}  # the keys in which rows of one family may differ


def sample_equivalence_rows(evidence: Evidence) -> list[dict[str, Any]]:
    """A row for each attack whose noise is not Gaussian, if two attacks or more differ from it in noise and m alone.

    `worth` is the m of Gaussian noise that has the row's success, a mean over the same black-box cells.
    """
    return [row for family in _families(evidence) for row in _equivalents(evidence, *family)]


def _families(evidence: Evidence) -> Iterator[tuple[list[str], list[str]]]:
    """(attacks of Gaussian noise by rising m, attacks of other noises) that are alike but for noise and m."""
    attacks = evidence.experiment.attacks
    smooth = [name for name, row in attacks.items() if row.gradient == "smoothed" and evidence.cells(name)]

    def alike(name: str) -> str:
        return attacks[name].model_dump_json(exclude=KEYS_WITHIN_FAMILY)

    for _, group in itertools.groupby(sorted(smooth, key=alike), alike):
        names = sorted(group, key=smooth.index)
        plain = [name for name in names if attacks[name].noise in (None, "gaussian")]
        others = [name for name in names if name not in plain]
        plain.sort(key=lambda name: attacks[name].value("samples") or 0)
        if others and len({attacks[name].value("samples") for name in plain}) > 1:
            yield plain, others


def _equivalents(evidence: Evidence, plain: Sequence[str], others: Sequence[str]) -> Iterator[dict[str, Any]]:
    attacks, cells = evidence.experiment.attacks, evidence.cells(plain[0])

    def success(names: Sequence[str]) -> np.ndarray:
        """Each image's success, the mean over cells: (N, names)."""
        hits = [[evidence.success(source, name, target) for source, target in cells] for name in names]
        shares: np.ndarray = np.mean(hits, 1).T
        return shares

    samples = np.array([attacks[name].value("samples") for name in plain], float)
    gaussian, other = success(plain), success(others)
    n = len(gaussian)
    weights = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), BOOTSTRAP_DRAWS) / n  # (draws,N)
    drawn_other, drawn_gaussian = weights @ other, weights @ gaussian
    for column, name in enumerate(others):
        rate, row = float(other[:, column].mean()), attacks[name]
        pairs = zip(drawn_other[:, column], drawn_gaussian, strict=True)
        spread = [_equal(drawn_rate, samples, rates) for drawn_rate, rates in pairs]
        low, high = (float(end) for end in np.quantile(spread, [0.025, 0.975], method="inverted_cdf"))
        ends = {"worth": _equal(rate, samples, gaussian.mean(0)), "low": low, "high": high}
        yield {
            "attack": name,
            "noise": row.noise,
            "samples": row.value("samples"),
            "success": round(100 * rate, 4),
            **{key: round(end, 4) if 0 < end < np.inf else None for key, end in ends.items()},
            "cells": len(cells),
            "n": n,
        }


def _equal(rate: float, samples: np.ndarray, rates: np.ndarray) -> float:
    """The m at which rates, made rising, reach `rate`: 0 or infinity where `rate` lies below or above them all.

    Args:
        rate: The rate to reach.
        samples: Values of m, rising.
        rates: The rate at each.
    """
    rising = np.maximum.accumulate(rates)
    if not rising[0] <= rate <= rising[-1]:
        return 0.0 if rate < rising[0] else float("inf")
    after = int(np.searchsorted(rising, rate))  # the first that is at least as great
    if after == 0 or rising[after] == rate:
        return float(samples[after])
    part = (rate - rising[after - 1]) / (rising[after] - rising[after - 1])
    return float(np.exp((1 - part) * np.log(samples[after - 1]) + part * np.log(samples[after])))
