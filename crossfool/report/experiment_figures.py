"""Figures of an experiment from its results: heat maps, cost, destruction, and the paper's own plots.

The paper's are sweeps (figures 4a, 4b and 7), scatter plots (1 and 8), agreement with its tables, and those of
`gradient_figures`. The data of each plot is a CSV beside it. Nothing here needs a model: restyling a figure computes
nothing anew.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from crossfool.attacks import sweeps
from crossfool.experiment.descriptions import attack_summary, attacked_images_summary, wrapped_model_name
from crossfool.experiment.results import detail_rows, pooled_destruction
from crossfool.experiment.results.metrics import Results
from crossfool.experiment.results.outcomes import Evidence
from crossfool.models.families import family
from crossfool.pipeline.evaluation.transform_levels import find_transform
from crossfool.report import gradient_figures
from crossfool.report.figures import agreement, destruction, heatmap, scatter, sweep
from crossfool.report.figures.style import Point
from crossfool.report.gradient_figures import Rows, mean_interval

AXIS = {
    "epsilon": "perturbation ε",
    "steps": "number of steps T",
    "step_size": "step size α",
    "samples": "number of samples m",
    "sigma": "noise level σ",
}
LETTER = {"epsilon": "ε", "steps": "T", "step_size": "α", "samples": "m", "sigma": "σ"}
COLUMNS = {
    "grid_a": ["x", "rate", "low", "high", "n", "line", "panel", "source", "target", "attack"],
    "grid_b": ["x", "rate", "low", "high", "n", "line", "panel", "source", "target", "attack"],
    "scatter": ["error", "parameters", "rate", "low", "high", "n", "source", "family", "target", "attack"],
    "similarity": ["analysis", "source", "target", "samples", "cosine", "low", "high", "n"],
}
CROWD = 8  # attacks beyond which their intervals would hide their lines


def figure_data(results: Results, evidence: Evidence) -> dict[str, Rows]:
    """The data of every plot: name (a key of `COLUMNS`) -> rows; no rows where the experiment has no such figure."""
    grids = results.experiment.grids
    return {
        "grid_a": list(_sweep_rows("a", grids.a, results, evidence)),
        "grid_b": list(_sweep_rows("b", grids.b, results, evidence)),
        "scatter": list(_scatter_rows(results)),
        "similarity": list(gradient_figures.similarity_rows(evidence)),
    }


def draw_paper_figures(
    folder: Path, results: Results, data: Mapping[str, Rows], compared: Rows
) -> Iterator[tuple[str, Figure]]:
    """Draw the paper's own plots: their names and figures.

    Args:
        folder: The experiment's, with the stored analyses of boundaries and saliency.
        results: Its metrics.
        data: What `figure_data` returned.
        compared: The rows of `paper_agreement.comparison_rows`.

    Raises:
        UserError: the file of an analysis is missing or damaged.
    """
    experiment = results.experiment
    for name, grid in (("a", experiment.grids.a), ("b", experiment.grids.b)):
        if data[f"grid_{name}"]:
            yield f"grid_{name}", _sweep(grid, results, data[f"grid_{name}"])
    if data["scatter"]:
        yield "scatter", _scatter(results, data["scatter"])
    if data["similarity"]:
        yield "similarity", gradient_figures.draw_similarity(experiment, data["similarity"])
    for name, plane in experiment.boundary.items():
        yield f"boundary_{name}", gradient_figures.draw_boundary(folder, name, plane, experiment)
    for name, saliency in experiment.saliency.items():
        yield f"saliency_{name}", gradient_figures.draw_saliency(folder, name, saliency, experiment)
    if len(compared) > 1:
        points = [
            (row["paper_table"].replace("table", "table "), row["paper"], row["ours"], row["low"], row["high"])
            for row in compared
        ]
        subtitle = f"Success rates, a point a cell; {attacked_images_summary(results)}; Wilson 95% intervals"
        yield "agreement", agreement.draw_agreement("Ours and the paper's", subtitle, points)


def draw_heatmap(results: Results, attack: str) -> Figure:
    """The heat map of an attack's top-1 success rates over all sources and targets."""
    sources, targets = results.experiment.sources, results.experiment.answering

    def values(key: str) -> np.ndarray:
        return np.array([[results.success[source, attack][target][key] for target in targets] for source in sources])

    rates = (values("top1"), values("top1_low"), values("top1_high"))
    rows, columns = (
        [source.replace("+", "+\n") for source in sources],
        [wrapped_model_name(target) for target in targets],
    )
    grid = heatmap.Grid(rows, columns, rates, values("whitebox"))
    settings = attack_summary(results.experiment.attacks[attack])
    subtitle = f"{settings}\n{attacked_images_summary(results)}; Wilson 95% intervals"
    return heatmap.draw_heatmap(grid, attack, subtitle)


def draw_destruction(
    results: Results, pools: Mapping[str, Mapping[str, pooled_destruction.DestructionRates]]
) -> Figure:
    """Destruction rates over the level of each transform.

    Args:
        results: The experiment's metrics.
        pools: Transform -> attack -> its destruction rates over all black-box pairs; each transform has some.
    """
    units = {name: find_transform(name).unit for name in pools}
    subtitle = (
        "Of the adversarial images that fool a target, the share that it gets right again after the transform. "
        f"Black-box pairs pooled; {attacked_images_summary(results)}; 95% intervals over images."
    )
    return destruction.draw_destruction("Destruction rates", subtitle, units, pools)


def draw_cost(results: Results) -> Figure:
    """Success against gradient evaluations: a line an attack, or a point where none of its steps was recorded."""
    panels: dict[str, dict[str, list[Point]]] = {}
    crowded = len(results.experiment.attacks) > CROWD
    for attack, row in results.experiment.attacks.items():
        points = [
            Point(gradients, rates["success"], *(rates["success" if crowded else end] for end in ("low", "high")))
            for gradients, rates in detail_rows.rates_by_gradients(results, attack).items()
        ]
        if points:
            panels.setdefault(row.objective, {})[attack] = points
    ends = "; budget.csv has the intervals" if crowded else ", and of the ends of their Wilson 95% intervals"
    subtitle = f"Mean over black-box cells{ends}; {attacked_images_summary(results)}"
    xlabel, ylabel = "gradient evaluations an image and model", "success rate, %"
    labels = "Success against cost", subtitle, xlabel, ylabel, "attack"
    return sweep.draw_sweep(*labels, panels, logarithmic=True, kinds=True)


def _sweep_rows(name: str, grid: sweeps.Grid, results: Results, evidence: Evidence) -> Iterator[dict[str, Any]]:
    """The points of the figure of grid `name`: one a cell, or one a target where the figure averages over sources."""
    if grid.figure is None:
        return
    figure, experiment = grid.figure, results.experiment
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
            if figure.average and sources and not evidence.empty:
                hits = evidence.hits if figure.metric == "top1" else evidence.hits5
                share = np.mean([hits[source, attack, target] for source in sources], 0)
                rate, low, high = (100 * value for value in mean_interval(share))
                ends = {"low": max(low, 0.0), "high": min(high, 100.0)}
                mean = f"mean of {len(sources)} sources"
                yield row | {"rate": rate, "panel": target, "source": mean, "target": target} | ends


def _line_name(figure: sweeps.GridFigure, values: Mapping[str, Any]) -> str:
    """The line that a grid's point belongs to: "m = 20", or "plain" where no samples are drawn."""
    if figure.lines is None:
        return ""
    if figure.lines == "samples" and not values["samples"]:
        return "plain"
    return f"{LETTER[figure.lines]} = {values[figure.lines]:g}"


def _sweep(grid: sweeps.Grid, results: Results, rows: Rows) -> Figure:
    """The figure of a grid, from all its rows of `_sweep_rows`."""
    figure = grid.figure
    assert figure is not None and grid.attack is not None
    panels: dict[str, dict[str, list[Point]]] = {}
    for row in rows:
        line = panels.setdefault(row["panel"], {}).setdefault(row["line"], [])
        line.append(Point(row["x"], row["rate"], row["low"], row["high"]))
    fixed = [
        f"{LETTER[axis]} = {getattr(grid, axis)[0]}".replace("α = epsilon", "α = ε")
        for axis in sweeps.AXES
        if axis not in (figure.x, figure.lines) and getattr(grid, axis)[0] not in (0,)
    ]
    intervals = "normal 95% intervals over images" if figure.average else "Wilson 95% intervals"
    mean = "; mean over the sources that do not hold the target" if figure.average else ""
    subtitle = f"{grid.attack.objective}, {', '.join(fixed)}{mean}; {attacked_images_summary(results)}; {intervals}"
    ylabel = f"{'top-1' if figure.metric == 'top1' else 'top-5'} success rate, %"
    label = "" if figure.lines is None else AXIS[figure.lines]
    return sweep.draw_sweep(f"Success against {LETTER[figure.x]}", subtitle, AXIS[figure.x], ylabel, label, panels)


def _scatter_rows(results: Results) -> Iterator[dict[str, Any]]:
    """The dots of the scatter plots: one for each attack, target and single source model other than the target."""
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


def _scatter(results: Results, rows: Rows) -> Figure:
    """The scatter plots, from all rows of `_scatter_rows`."""
    panels: dict[str, list[scatter.Dot]] = {}
    for row in rows:
        dot = scatter.Dot(*(row[key] for key in ("source", "family", "error", "parameters", "rate", "low", "high")))
        panels.setdefault(f"{row['attack']} → {row['target']}", []).append(dot)
    experiment = results.experiment
    omitted = "" if experiment.scatter.same_family else "; sources of the target's own family are left out"
    attacks = "; ".join(f"{name}: {attack_summary(experiment.attacks[name])}" for name in experiment.scatter.attacks)
    subtitle = (
        f"{attacks}.\nNumbers at the left are success rates, texts in the middle the model within its family{omitted}. "
        f"Top-1 error on the whole data set. {attacked_images_summary(results)}; Wilson 95% intervals"
    )
    return scatter.draw_scatter("Success over the source's error and size", subtitle, panels)
