"""The success rates that the paper writes beside the dots of figures 1 and 8, a set a panel. Rates are percent.

The figures do not say which dot is which model, so a panel's values are compared as a set: their range and mean with
those of our dots. `paper_panels.csv` has the annotations that the text of the paper's PDF holds; the drawings may have
more, since the text has one fewer of figure 1's FGSM panel than of its IGSM panel. Imports no torch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from crossfool.experiment.config import Experiment
from crossfool.experiment.results.metrics import Results
from crossfool.models.families import family
from crossfool.report.reported.published_rates import attacks_of, csv_rows

DATASET = "imagenet"
COLUMNS = (
    *("figure", "metric", "target", "attack", "dots", "ours", "low", "high"),
    *("paper_dots", "paper", "paper_low", "paper_high", "difference", "within"),
)


@dataclass(frozen=True)
class Panel:
    """A panel of figure 1 or 8.

    Attributes:
        figure: "figure1" or "figure8".
        metric: "top1".
        target: The model that is attacked.
        attack: The attack in the panel, by its name in paper_attacks.csv.
        rates: The annotated success rates, rising.
    """

    figure: str
    metric: str
    target: str
    attack: str
    rates: tuple[float, ...]


def panels() -> list[Panel]:
    """The panels in the order of the paper's figures."""
    rates: dict[tuple[str, str, str, str], list[float]] = {}
    for row in csv_rows("paper_panels.csv"):
        key = (row["figure"], row["metric"], row["target"], row["attack"])
        rates.setdefault(key, []).append(float(row["success_rate_percent"]))
    return [Panel(*key, tuple(sorted(values))) for key, values in rates.items()]


def panel_attacks(panel: Panel, experiment: Experiment) -> list[str]:
    """Names of the experiment's attacks that have every parameter of the panel's."""
    return [name for in_paper, name in attacks_of(panel.figure, experiment) if in_paper == panel.attack]


def panel_sources(panel: Panel, experiment: Experiment) -> list[str]:
    """The experiment's sources that the panel could show: single models of another family than the target's."""
    return [one for one in experiment.sources if "+" not in one and family(one) != family(panel.target)]


def panel_rows(results: Results) -> list[dict[str, Any]]:
    """A row of `COLUMNS` for each panel that the experiment has dots of.

    `ours`, `low` and `high` are the mean and the ends of our `dots`, `paper`, `paper_low` and `paper_high` those of the
    paper's; `difference` is between the means, ours minus the paper's, and `within` counts the paper's values that lie
    in the range of ours.
    """
    return list(_rows(results))


def _rows(results: Results) -> Iterator[dict[str, Any]]:
    experiment = results.experiment
    if experiment.dataset.family != DATASET or experiment.subset.of == "all":
        return
    cells = {**results.success, **results.swept}
    for panel in panels():
        for attack in panel_attacks(panel, experiment)[:1]:  # further ones are the same attack under another name
            sources = panel_sources(panel, experiment)
            dots = [
                cells[one, attack][panel.target][panel.metric] for one in sources if panel.target in cells[one, attack]
            ]
            if dots:
                cell = (panel.figure, panel.metric, panel.target, attack)
                yield dict(zip(COLUMNS, (*cell, *_compared(dots, panel.rates)), strict=True))


def _compared(dots: list[float], rates: tuple[float, ...]) -> tuple[Any, ...]:
    """The values of `COLUMNS` from `dots` on."""
    ours, paper = sum(dots) / len(dots), sum(rates) / len(rates)
    low, high = min(dots), max(dots)
    within = sum(low <= rate <= high for rate in rates)
    means = (len(dots), ours, low, high, len(rates), paper, min(rates), max(rates))
    return *means, round(ours - paper, 4), within
