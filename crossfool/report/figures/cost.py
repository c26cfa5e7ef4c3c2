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
CROWD = 8  # attacks beyond which their intervals would hide their lines


def figures(findings: Findings) -> Iterator[tuple[str, Figure]]:
    """A figure where a cell has recorded steps."""
    if any(detail_rows.cost_rows(findings.results)):
        yield "cost", _cost(findings.results)


def _cost(results: Results) -> Figure:
    """Success against gradient evaluations: a line an attack, or a point where none of its steps was recorded."""
    panels: dict[str, dict[str, list[Point]]] = {}
    crowded = len(results.experiment.attacks) > CROWD
    for attack, row in results.experiment.attacks.items():
        points = [
            Point(gradients, rates["success"], *(rates["success" if crowded else end] for end in ("low", "high")))
            for gradients, rates in detail_rows.rates_by_gradients(results, attack).items()
        ]
        if points:
            panels.setdefault(row.objective, {})[attack + (MARK if departure(row) else "")] = points
    ends = "; budget.csv has the intervals" if crowded else ", and of the ends of their Wilson 95% intervals"
    subtitle = f"Mean over black-box cells{ends}; {attacked_images_summary(results)}"
    xlabel, ylabel = "gradient evaluations an image and model", "success rate, %"
    labels = "Success against cost", subtitle, xlabel, ylabel, "attack"
    return draw_sweep(*labels, panels, logarithmic=True, kinds=True)
