"""Claims about what happens along a setting: the axes of grids, and the samples of gradient similarity. No torch."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from crossfool.attacks import sweeps
from crossfool.experiment.config import Experiment
from crossfool.experiment.results.outcomes import Evidence
from crossfool.report.claims.claim import Claim, claim, contrasted, listed
from crossfool.stats.paired_tests import Pair, contrast, paired, rho

# --- grids ------------------------------------------------------------------------------------------

Line = dict[float, str]  # cells of a grid that are alike but in one axis: its value, rising -> attack


def _lines(experiment: Experiment, axis: str) -> list[list[Line]]:
    """For each grid whose axis has several values, its lines along the axis; samples of 0 are the plain gradient."""
    grids = []
    for name in ("a", "b"):
        grid: sweeps.Grid = getattr(experiment.grids, name)
        lines: dict[tuple[Any, ...], Line] = {}
        for attack, row in grid.cells(name).items():
            at = {one: getattr(row, one) for one in sweeps.AXES}
            if row.gradient == "plain":  # a grid that has them has one sigma
                at |= {"samples": 0, "sigma": grid.sigma[0]}
            value = at.pop(axis)
            lines.setdefault(tuple(at.values()), {})[value] = attack
        several = [dict(sorted(line.items())) for line in lines.values() if len(line) > 1]
        grids += [several] if several else []
    return grids


def every_epsilon(evidence: Evidence) -> list[Claim]:
    """Most samples against the plain gradient, pooled and at each epsilon."""
    pairs: dict[float, list[Pair]] = {}
    for line in itertools.chain(*_lines(evidence.experiment, "samples")):
        if 0 in line:
            epsilon = evidence.experiment.row(line[0]).epsilon
            pairs.setdefault(epsilon, []).extend(evidence.against(line[max(line)], line[0]))
    pairs = {epsilon: some for epsilon, some in pairs.items() if some}
    if not pairs:
        return []
    found = contrast([pair for some in pairs.values() for pair in some])
    below = sum(bool(s.sum() < p.sum()) for some in pairs.values() for s, p in some)
    points = {e: 100 * float(np.mean([s.mean() - p.mean() for s, p in some])) for e, some in pairs.items()}
    detail = f"below plain in {below} of {found.comparisons} (epsilon, source, target) cells; points at epsilon " + (
        ", ".join(f"{epsilon:g}: {gain:+.2f}" for epsilon, gain in sorted(points.items()))
    )
    holds = found.points > 0 and min(points.values()) >= 0
    name = "smoothing_every_epsilon"
    return [claim(name, found.points, found.p, found.comparisons, found.images, detail, holds=holds)]


def more_samples(evidence: Evidence) -> list[Claim]:
    """The largest m against the smallest that is not 0."""
    pairs, said = [], []
    for line in itertools.chain(*_lines(evidence.experiment, "samples")):
        few, many = min(m for m in line if m), max(line)
        if few < many:
            pairs += evidence.against(line[many], line[few])
            said.append(f"m = {many:g} against {few:g}")
    return contrasted("more_samples", pairs, listed(said))


def _best(evidence: Evidence, lines: Sequence[Line]) -> tuple[float, dict[float, list[Pair]]]:
    """The value of the lines' axis that succeeds most, and value -> the best one's success against that one's."""
    values = sorted(set.intersection(*map(set, lines)))
    best = max(values, key=lambda value: np.mean([evidence.rate(line[value]) for line in lines]))
    return best, {v: [pair for line in lines for pair in evidence.against(line[best], line[v])] for v in values}


def sigma_optimum(evidence: Evidence) -> list[Claim]:
    """The best sigma against the least and against the greatest; no effect where it is one of them."""
    found = []
    for lines in _lines(evidence.experiment, "sigma"):
        lines = [line for line in lines if len(line) >= 3 and evidence.cells(line[min(line)])]
        if lines:
            best, pairs = _best(evidence, lines)
            ends = [contrast(pairs[end]) for end in (min(pairs), max(pairs))]
            detail = f"best is sigma = {best:g} of {', '.join(f'{v:g}' for v in pairs)}, chosen on the same images"
            count, points, p = sum(e.comparisons for e in ends), min(e.points for e in ends), max(e.p for e in ends)
            found.append(claim("sigma_optimum", points, p, count, evidence.images, detail))
    return found


def large_steps(evidence: Evidence) -> list[Claim]:
    """Targeted, in the most steps: the best step size against the smallest; no effect where it is that one."""
    found = []
    for lines in _lines(evidence.experiment, "step_size"):
        rows = [evidence.experiment.row(line[min(line)]) for line in lines]
        most = max(row.steps for row in rows)
        lines = [ln for ln, row in zip(lines, rows, strict=True) if row.steps == most and row.targeted]
        lines = [line for line in lines if evidence.cells(line[min(line)])]
        if lines:
            best, pairs = _best(evidence, lines)
            values = ", ".join(f"{v:g}" for v in pairs)
            detail = f"T = {most}; best is step size {best:g} of {values}, chosen on the same images"
            found += contrasted("large_steps", pairs[min(pairs)], detail)
    return found


# --- similarity of gradients ------------------------------------------------------------------------


def similarity_smoothed(evidence: Evidence) -> list[Claim]:
    """Cosine at the most samples less the plain gradient's; in every analysis."""
    gains, tests, said = [], [], []
    for name, (samples, cosines) in evidence.similarity.items():
        if samples[0] == 0 and len(samples) > 1:
            difference = cosines[:, -1] - cosines[:, 0]
            gains.append(float(difference.mean()))
            tests.append(paired(difference))
            said.append(f"{name}: {gains[-1]:+.4f} at m = {samples[-1]}, p {tests[-1]:.3g}, {len(cosines)} images")
    if not gains:
        return []
    images = min(len(cosines) for _, cosines in evidence.similarity.values())
    every = min(gains) > 0
    effect, p, detail = float(np.mean(gains)), max(tests), "; ".join(said)
    return [claim("similarity_smoothed", effect, p, len(gains), images, detail, unit="cosine", holds=every)]


def similarity_rises(evidence: Evidence) -> list[Claim]:
    """Rank correlation of m with the mean cosine; p of the most samples against the fewest; in every analysis."""
    ranks, tests, rising, said = [], [], [], []
    for name, (samples, cosines) in evidence.similarity.items():
        smoothed = [place for place, m in enumerate(samples) if m]
        if len(smoothed) > 1:
            some = cosines[:, smoothed]
            ranks.append(rho(smoothed, some.mean(0)) or 0.0)
            tests.append(paired(some[:, -1] - some[:, 0]))
            rising.append(bool((np.diff(some.mean(0)) >= 0).all()))
            said.append(f"{name}: {'never falls' if rising[-1] else 'falls'}, p {tests[-1]:.3g}, {len(some)} images")
    if not ranks:
        return []
    images = min(len(cosines) for _, cosines in evidence.similarity.values())
    effect, p, unit = float(np.mean(ranks)), max(tests), "rank correlation"
    detail = "; ".join(said)
    return [claim("similarity_rises", effect, p, len(ranks), images, detail, unit=unit, holds=all(rising))]


CHECKS = (every_epsilon, more_samples, sigma_optimum, large_steps, similarity_smoothed, similarity_rises)
