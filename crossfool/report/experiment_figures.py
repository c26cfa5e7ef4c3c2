"""Figures of an experiment from its results: heat maps, cost, destruction, and the paper's own plots.

The paper's are sweeps (figures 4a, 4b and 7), scatter plots (1 and 8), agreement with its tables, and those of
`gradient_figures`. The data of each plot is a CSV beside it. Nothing here needs a model: restyling a figure computes
nothing anew.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from crossfool.attacks import sweeps
from crossfool.experiment.descriptions import attack_summary, attacked_images_summary, wrapped_model_name
from crossfool.experiment.results import detail_rows, pooled_destruction
from crossfool.experiment.results.metrics import Results
from crossfool.pipeline.evaluation.transform_levels import find_transform
from crossfool.report import figure_data, gradient_figures
from crossfool.report.figures import agreement, destruction, heatmap, scatter, sweep
from crossfool.report.figures.style import Point
from crossfool.report.findings import Findings
from crossfool.report.reported.published_rates import table_text
from crossfool.report.table import Row

AXIS = {
    "epsilon": "perturbation ε",
    "steps": "number of steps T",
    "step_size": "step size α",
    "samples": "number of samples m",
    "sigma": "noise level σ",
}
CROWD = 8  # attacks beyond which their intervals would hide their lines


def draw_paper_figures(findings: Findings) -> Iterator[tuple[str, Figure]]:
    """Draw the paper's own plots: their names and figures.

    Raises:
        UserError: the file of an analysis is missing or damaged.
    """
    folder, results, experiment = findings.folder, findings.results, findings.experiment
    for name, grid in (("a", experiment.grids.a), ("b", experiment.grids.b)):
        if points := figure_data.grid_rows(findings, name):
            yield f"grid_{name}", _sweep(grid, results, points)
    if dots := figure_data.scatter_rows(results):
        yield "scatter", _scatter(results, dots)
    if cosines := figure_data.similarity_rows(findings.evidence):
        yield "similarity", gradient_figures.draw_similarity(experiment, cosines)
    for name, plane in experiment.boundary.items():
        yield f"boundary_{name}", gradient_figures.draw_boundary(folder, name, plane, experiment)
    for name, saliency in experiment.saliency.items():
        yield f"saliency_{name}", gradient_figures.draw_saliency(folder, name, saliency, experiment)
    if len(findings.agreement) > 1:
        pairs = [
            (table_text(row["paper_table"]), row["paper"], row["ours"], row["low"], row["high"])
            for row in findings.agreement
        ]
        subtitle = f"Success rates, a point a cell; {attacked_images_summary(results)}; Wilson 95% intervals"
        yield "agreement", agreement.draw_agreement("Ours and the paper's", subtitle, pairs)


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


def _sweep(grid: sweeps.Grid, results: Results, rows: Sequence[Row]) -> Figure:
    """The figure of a grid, from all its rows of `figure_data.grid_rows`."""
    figure = grid.figure
    assert figure is not None and grid.attack is not None
    panels: dict[str, dict[str, list[Point]]] = {}
    for row in rows:
        line = panels.setdefault(row["panel"], {}).setdefault(row["line"], [])
        line.append(Point(row["x"], row["rate"], row["low"], row["high"]))
    fixed = [
        f"{figure_data.LETTER[axis]} = {getattr(grid, axis)[0]}".replace("α = epsilon", "α = ε")
        for axis in sweeps.AXES
        if axis not in (figure.x, figure.lines) and getattr(grid, axis)[0] not in (0,)
    ]
    intervals = "normal 95% intervals over images" if figure.average else "Wilson 95% intervals"
    mean = "; mean over the sources that do not hold the target" if figure.average else ""
    subtitle = f"{grid.attack.objective}, {', '.join(fixed)}{mean}; {attacked_images_summary(results)}; {intervals}"
    ylabel = f"{'top-1' if figure.metric == 'top1' else 'top-5'} success rate, %"
    label = "" if figure.lines is None else AXIS[figure.lines]
    return sweep.draw_sweep(
        f"Success against {figure_data.LETTER[figure.x]}", subtitle, AXIS[figure.x], ylabel, label, panels
    )


def _scatter(results: Results, rows: Sequence[Row]) -> Figure:
    """The scatter plots, from all rows of `figure_data.scatter_rows`."""
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
