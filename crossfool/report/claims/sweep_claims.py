"""Checks of claims along a setting: the axes of grids, and the samples of gradient similarity. Imports no torch."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from crossfool.attacks import sweeps
from crossfool.experiment.config import Experiment
from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims.claim import Claim, contrast_claim, joined_unique, judged_claim
from crossfool.stats.paired_tests import OutcomePair, compare_pairs, sign_flip_p, spearman_rho

Line = dict[float, str]  # attacks of a grid that are alike but in one axis: the axis's value, rising -> attack


def _lines(experiment: Experiment, axis: str) -> list[list[Line]]:
    """The lines along an axis of each grid where it has several values; samples of 0 are the plain gradient."""
    grids = []
    for grid_name in ("a", "b"):
        grid: sweeps.Grid = getattr(experiment.grids, grid_name)
        lines: dict[tuple[Any, ...], Line] = {}
        for attack, row in grid.cells(grid_name).items():
            values = {name: row.value(name) for name in sweeps.AXES}
            if row.gradient == "plain":  # a grid with plain gradients has one sigma
                values |= {"samples": 0, "sigma": grid.sigma[0]}
            value = values.pop(axis)
            lines.setdefault(tuple(values.values()), {})[value] = attack
        several = [dict(sorted(line.items())) for line in lines.values() if len(line) > 1]
        grids += [several] if several else []
    return grids


def every_epsilon(evidence: Evidence) -> list[Claim]:
    """Check the most samples against the plain gradient, pooled and at each epsilon."""
    pairs_at: dict[float, list[OutcomePair]] = {}
    for line in itertools.chain(*_lines(evidence.experiment, "samples")):
        if 0 in line:
            epsilon = evidence.experiment.row(line[0]).epsilon
            pairs_at.setdefault(epsilon, []).extend(evidence.against(line[max(line)], line[0]))
    pairs_at = {epsilon: pairs for epsilon, pairs in pairs_at.items() if pairs}
    if not pairs_at:
        return []
    result = compare_pairs([pair for pairs in pairs_at.values() for pair in pairs])
    below = sum(bool(smoothed.sum() < plain.sum()) for pairs in pairs_at.values() for smoothed, plain in pairs)
    points = {
        epsilon: 100 * float(np.mean([smoothed.mean() - plain.mean() for smoothed, plain in pairs]))
        for epsilon, pairs in pairs_at.items()
    }
    detail = f"below plain in {below} of {result.comparisons} (epsilon, source, target) cells; points at epsilon " + (
        ", ".join(f"{epsilon:g}: {gain:+.2f}" for epsilon, gain in sorted(points.items()))
    )
    holds = result.points > 0 and min(points.values()) >= 0
    name = "smoothing_every_epsilon"
    return [judged_claim(name, result.points, result.p, result.comparisons, result.images, detail, holds=holds)]


def more_samples(evidence: Evidence) -> list[Claim]:
    """Check the largest m against the smallest that is not 0."""
    pairs, contrasts = [], []
    for line in itertools.chain(*_lines(evidence.experiment, "samples")):
        few, many = min(m for m in line if m), max(line)
        if few < many:
            pairs += evidence.against(line[many], line[few])
            contrasts.append(f"m = {many:g} against {few:g}")
    return contrast_claim("more_samples", pairs, joined_unique(contrasts))


def _best(evidence: Evidence, lines: Sequence[Line]) -> tuple[float, dict[float, list[OutcomePair]]]:
    """The most successful value of the lines' axis, and its pairs of outcomes with each value.

    Returns:
        The best value, and value -> pairs of the best value's outcome and that value's.
    """
    values = sorted(set.intersection(*map(set, lines)))
    best = max(values, key=lambda value: np.mean([evidence.rate(line[value]) for line in lines]))
    return best, {
        value: [pair for line in lines for pair in evidence.against(line[best], line[value])] for value in values
    }


def sigma_optimum(evidence: Evidence) -> list[Claim]:
    """Check the best sigma against the least and the greatest; the effect is 0 where the best is one of them."""
    claims = []
    for lines in _lines(evidence.experiment, "sigma"):
        lines = [line for line in lines if len(line) >= 3 and evidence.cells(line[min(line)])]
        if lines:
            best, pairs = _best(evidence, lines)
            ends = [compare_pairs(pairs[end]) for end in (min(pairs), max(pairs))]
            detail = (
                f"best is sigma = {best:g} of {', '.join(f'{value:g}' for value in pairs)}, chosen on the same images"
            )
            comparisons, points = sum(end.comparisons for end in ends), min(end.points for end in ends)
            p = max(end.p for end in ends)
            claims.append(judged_claim("sigma_optimum", points, p, comparisons, evidence.images, detail))
    return claims


def large_steps(evidence: Evidence) -> list[Claim]:
    """Check the best step size of targeted attacks in the most steps against the smallest one.

    The effect is 0 where the smallest is the best.
    """
    claims = []
    for lines in _lines(evidence.experiment, "step_size"):
        rows = [evidence.experiment.row(line[min(line)]) for line in lines]
        most = max(row.steps for row in rows)
        lines = [line for line, row in zip(lines, rows, strict=True) if row.steps == most and row.targeted]
        lines = [line for line in lines if evidence.cells(line[min(line)])]
        if lines:
            best, pairs = _best(evidence, lines)
            values = ", ".join(f"{value:g}" for value in pairs)
            detail = f"T = {most}; best is step size {best:g} of {values}, chosen on the same images"
            claims += contrast_claim("large_steps", pairs[min(pairs)], detail)
    return claims


def similarity_smoothed(evidence: Evidence) -> list[Claim]:
    """Check that the cosine at the most samples exceeds the plain gradient's, in every analysis."""
    gains, p_values, details = [], [], []
    for name, (samples, cosines) in evidence.similarity.items():
        if samples[0] == 0 and len(samples) > 1:
            difference = cosines[:, -1] - cosines[:, 0]
            gains.append(float(difference.mean()))
            p_values.append(sign_flip_p(difference))
            details.append(
                f"{name}: {gains[-1]:+.4f} at m = {samples[-1]}, p {p_values[-1]:.3g}, {len(cosines)} images"
            )
    if not gains:
        return []
    images = min(len(cosines) for _, cosines in evidence.similarity.values())
    holds = min(gains) > 0
    effect, p, detail = float(np.mean(gains)), max(p_values), "; ".join(details)
    return [judged_claim("similarity_smoothed", effect, p, len(gains), images, detail, unit="cosine", holds=holds)]


def similarity_rises(evidence: Evidence) -> list[Claim]:
    """Check that the mean cosine never falls as samples are added, in every analysis.

    The effect is the rank correlation of m with the mean cosine; p is of the most samples against the fewest.
    """
    ranks, p_values, rising, details = [], [], [], []
    for name, (samples, cosines) in evidence.similarity.items():
        smoothed = [place for place, m in enumerate(samples) if m]
        if len(smoothed) > 1:
            smoothed_cosines = cosines[:, smoothed]
            means = smoothed_cosines.mean(0)
            ranks.append(spearman_rho(smoothed, means) or 0.0)
            p_values.append(sign_flip_p(smoothed_cosines[:, -1] - smoothed_cosines[:, 0]))
            rising.append(bool((np.diff(means) >= 0).all()))
            verdict = "never falls" if rising[-1] else "falls"
            details.append(f"{name}: {verdict}, p {p_values[-1]:.3g}, {len(cosines)} images")
    if not ranks:
        return []
    images = min(len(cosines) for _, cosines in evidence.similarity.values())
    effect, p, unit = float(np.mean(ranks)), max(p_values), "rank correlation"
    detail = "; ".join(details)
    return [judged_claim("similarity_rises", effect, p, len(ranks), images, detail, unit=unit, holds=all(rising))]


CHECKS = (every_epsilon, more_samples, sigma_optimum, large_steps, similarity_smoothed, similarity_rises)
