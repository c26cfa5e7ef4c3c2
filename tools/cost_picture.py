"""Draw docs/success_by_cost.png, README's picture, from the committed results of the default benchmark.

python tools/cost_picture.py

The picture holds the numbers that it shows (`DRAWN`), so that a test can compare them with the committed ones.
"""

import json
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg

from crossfool.experiment import loading
from crossfool.experiment.descriptions import attacked_images_summary
from crossfool.experiment.results.detail_rows import OBJECTIVES, rates_by_gradients
from crossfool.experiment.results.mean_rates import recorded_mean_rates
from crossfool.experiment.results.metrics import Results, load_metrics
from crossfool.report.figures._style import Point, report_style
from crossfool.report.figures._sweep import draw_sweep

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs/success_by_cost.png"
DRAWN = "Description"  # PNG's text chunk with the numbers

Costs = dict[str, dict[str, list[list[float]]]]  # objective -> attack -> [gradients, success, low, high] of each point


def committed_results() -> Results:
    """Results of the default benchmark, from metrics/."""
    return load_metrics(ROOT, loading.load_experiment(ROOT / "params.yaml"))


def costs(results: Results) -> Costs:
    """Mean black-box success of each attack, in percent with its 95% interval, by gradient evaluations an image."""
    known = recorded_mean_rates(ROOT)
    drawn: Costs = {objective: {} for objective in OBJECTIVES}
    for attack, row in results.experiment.attacks.items():
        drawn[row.objective][attack] = [
            [gradients, rates["success"], rates["low"], rates["high"]]
            for gradients, rates in rates_by_gradients(results, attack, known).items()
        ]
    return drawn


@report_style
def draw(results: Results, path: Path) -> None:
    """Write the picture of the results as a PNG."""
    drawn, cells = costs(results), next(iter(recorded_mean_rates(ROOT).values())).cells
    figure = draw_sweep(
        "Success against cost, default benchmark",
        f"Mean over {cells} black-box cells with 95% intervals; {attacked_images_summary(results)}. Untargeted: top-1; "
        "targeted: top-5",
        "gradient evaluations an image and model",
        "success rate, %",
        "attack",
        {
            objective: {attack: [Point(*point) for point in points] for attack, points in attacks.items()}
            for objective, attacks in drawn.items()
        },
        logarithmic=True,
        kinds=True,
    )
    FigureCanvasAgg(figure)
    metadata = {"Software": None, DRAWN: json.dumps(drawn)}
    figure.savefig(path, format="png", dpi=150, metadata=metadata, bbox_inches="tight", pad_inches=0.15)


if __name__ == "__main__":
    draw(committed_results(), PICTURE)
