"""Figures of the grids a and b: success rates over the settings that a grid varies (the paper's 4a, 4b and 7)."""

from collections.abc import Iterator, Sequence

from matplotlib.figure import Figure

from crossfool.attacks import sweeps
from crossfool.experiment.descriptions import attacked_images_summary
from crossfool.experiment.results.metrics import Results
from crossfool.report import figure_data
from crossfool.report.figures._style import Point
from crossfool.report.figures._sweep import draw_sweep
from crossfool.report.findings import Findings
from crossfool.report.table import Row

FIGURE = {"title": "Success rates over a sweep", "order": 60}
AXIS = {
    "epsilon": "perturbation ε",
    "steps": "number of steps T",
    "step_size": "step size α",
    "samples": "number of samples m",
    "sigma": "noise level σ",
}


def figures(findings: Findings) -> Iterator[tuple[str, Figure]]:
    """A figure of each grid that has one in params.yaml."""
    grids = findings.experiment.grids
    for name, grid in (("a", grids.a), ("b", grids.b)):
        if rows := figure_data.grid_rows(findings, name):
            yield f"grid_{name}", _sweep(grid, findings.results, rows)


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
    intervals = "normal 95% intervals with images as units" if figure.average else "Wilson 95% intervals"
    mean = "; mean over the sources that do not hold the target" if figure.average else ""
    subtitle = f"{grid.attack.objective}, {', '.join(fixed)}{mean}; {attacked_images_summary(results)}; {intervals}"
    ylabel = f"{'top-1' if figure.metric == 'top1' else 'top-5'} success rate, %"
    label = "" if figure.lines is None else AXIS[figure.lines]
    return draw_sweep(
        f"Success against {figure_data.LETTER[figure.x]}", subtitle, AXIS[figure.x], ylabel, label, panels
    )
