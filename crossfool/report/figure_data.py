"""The data of the figures, a row a point: sweeps over grids, scatter plots, gradient similarity. Rates are percent."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from crossfool.attacks import sweeps
from crossfool.experiment.results.metrics import Results
from crossfool.experiment.results.outcomes import Evidence
from crossfool.models.families import family
from crossfool.report.findings import Findings
from crossfool.report.table import Row
from crossfool.stats import intervals
from crossfool.stats.mean_rate import mean_rate

LETTER = {"epsilon": "ε", "steps": "T", "step_size": "α", "samples": "m", "sigma": "σ"}


def grid_rows(findings: Findings, name: str) -> tuple[Row, ...]:
    """The points of the figure of grid `name`; none where the experiment has no such figure."""
    return tuple(_sweep_rows(name, getattr(findings.experiment.grids, name), findings))


def _sweep_rows(name: str, grid: sweeps.Grid, findings: Findings) -> Iterator[Row]:
    """The points of the figure of grid `name`: one a cell, or one a target where the figure averages over sources."""
    if grid.figure is None:
        return
    figure, results, experiment = grid.figure, findings.results, findings.experiment
    for attack, point in zip(grid.cells(name), grid.points(), strict=True):
        values = dict(zip(sweeps.AXES, point, strict=True))
        if values["step_size"] == "epsilon":
            values["step_size"] = values["epsilon"]
        row = {"x": values[figure.x], "line": _line_name(figure, values), "n": results.n, "attack": attack}
        for target in experiment.answering:
            sources = [source for source in experiment.sources if target not in source.split("+")]
            for source in () if figure.average else sources:
                rates = results.swept[source, attack][target]
                ends = {"low": rates[f"{figure.metric}_low"], "high": rates[f"{figure.metric}_high"]}
                panel = f"{source} → {target}"
                yield row | {"rate": rates[figure.metric], "panel": panel, "source": source, "target": target} | ends
            if figure.average and sources and not findings.evidence.empty:
                hits = findings.evidence.hits if figure.metric == "top1" else findings.evidence.hits5
                mean_over = mean_rate([hits[source, attack, target] for source in sources])
                rate, ends = mean_over.percent, {"low": mean_over.low, "high": mean_over.high}
                mean = f"mean of {len(sources)} sources"
                yield row | {"rate": rate, "panel": target, "source": mean, "target": target} | ends


def _line_name(figure: sweeps.GridFigure, values: Mapping[str, Any]) -> str:
    """The line that a grid's point belongs to: "m = 20", or "plain" where no samples are drawn."""
    if figure.lines is None:
        return ""
    if figure.lines == "samples" and not values["samples"]:
        return "plain"
    return f"{LETTER[figure.lines]} = {values[figure.lines]:g}"


def scatter_rows(results: Results) -> tuple[Row, ...]:
    """The dots of the scatter plots: one for each attack, target and single source model other than the target."""
    return tuple(_scatter_rows(results))


def _scatter_rows(results: Results) -> Iterator[Row]:
    experiment = results.experiment
    for attack in experiment.scatter.attacks:
        for target in experiment.answering:
            for source in experiment.sources:
                same_family = family(source) == family(target)
                if "+" in source or source == target or (same_family and not experiment.scatter.same_family):
                    continue
                rates, clean = results.success[source, attack][target], results.clean[source]
                yield {
                    "error": 100 - clean["top1"],
                    "parameters": clean["parameters"],
                    "rate": rates["top1"],
                    "low": rates["top1_low"],
                    "high": rates["top1_high"],
                    "n": rates["n"],
                    "source": source,
                    "family": family(source),
                    "target": target,
                    "attack": attack,
                }


def mean_interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean of a value per image (N,), and the ends of Student's 95% interval; the mean where that has no width."""
    mean = float(values.mean())
    low, high = intervals.mean_interval(values) or (mean, mean)
    return mean, low, high


def similarity_rows(evidence: Evidence) -> tuple[Row, ...]:
    """A row for each analysis and number of samples m: the mean cosine over images, and its 95% interval."""
    return tuple(_similarity_rows(evidence))


def _similarity_rows(evidence: Evidence) -> Iterator[Row]:
    for name, (samples, cosines) in evidence.similarity.items():
        analysis = evidence.experiment.similarity[name]
        for place, m in enumerate(samples):
            mean, low, high = mean_interval(cosines[:, place])
            row = {"analysis": name, "source": analysis.source, "target": analysis.target, "samples": m}
            yield row | {"cosine": mean, "low": low, "high": high, "n": len(cosines)}
