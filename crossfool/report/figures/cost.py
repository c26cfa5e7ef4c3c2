"""Figure: success rates against gradient evaluations."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from crossfool.experiment.descriptions import attacked_images_summary, departure
from crossfool.experiment.results import detail_rows
from crossfool.experiment.results.metrics import Results
from crossfool.report.departures import MARK
from crossfool.report.figures._style import Point
from crossfool.report.figures._sweep import draw_sweep
from crossfool.report.findings import Findings

FIGURE = {"title": "Success against gradient evaluations", "order": 30}
NARROW = "cost_narrow"  # the figure for a phone's screen
CROWD = 8  # attacks of an objective beyond which intervals at each step would hide the lines


def figures(findings: Findings) -> Iterator[tuple[str, Figure]]:
    """A wide and a narrow figure, where two attacks or two steps of one have black-box cells."""
    panels = _panels(findings)
    if sum(len(line) for lines in panels.values() for line in lines.values()) > 1:
        yield "cost", _cost(findings.results, panels)
        yield NARROW, _cost(findings.results, panels, narrow=True)


def _panels(findings: Findings) -> dict[str, dict[str, list[Point]]]:
    """Objective -> attack -> its mean success with intervals by gradient evaluations; in a crowd, at the last step."""
    panels: dict[str, dict[str, list[Point]]] = {}
    rows = findings.experiment.attacks
    for attack, row in rows.items():
        crowded = sum(rival.objective == row.objective for rival in rows.values()) > CROWD
        rates_at = detail_rows.rates_by_gradients(findings.results, attack, findings.mean_rates)
        points = [
            Point(gradients, rates["success"], *(rates["success" if bare else end] for end in ("low", "high")))
            for gradients, rates in rates_at.items()
            for bare in [crowded and gradients < max(rates_at)]
        ]
        if points:
            panels.setdefault(row.objective, {})[attack + (MARK if departure(row) else "")] = points
    return panels


def _cost(results: Results, panels: dict[str, dict[str, list[Point]]], *, narrow: bool = False) -> Figure:
    """Success against gradient evaluations: a line an attack, or a point where none of its steps was recorded."""
    crowded = any(len(lines) > CROWD for lines in panels.values())
    where = " at the last step; budget.csv has the others" if crowded else ""
    subtitle = f"Mean over black-box cells, with 95% intervals{where}; {attacked_images_summary(results)}"
    xlabel, ylabel = "gradient evaluations an image and model", "success rate, %"
    labels = "Success against cost", subtitle, xlabel, ylabel, "attack"
    return draw_sweep(*labels, panels, logarithmic=True, kinds=True, narrow=narrow)
