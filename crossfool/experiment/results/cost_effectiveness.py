"""Success of attacks beside their cost: gradient evaluations, and seconds where this machine computed the cells.

Success comes from metrics, seconds from `pipeline.crafting.timings`. Imports no torch.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from crossfool.experiment.results import detail_rows
from crossfool.experiment.results.mean_rates import MeanRates, recorded_mean_rates
from crossfool.experiment.results.metrics import Results
from crossfool.pipeline.crafting import timings


@dataclass(frozen=True)
class CostEffectiveness:
    """The success and cost of an attack.

    Attributes:
        attack, objective: The attack's name, and untargeted or targeted.
        success, low, high: Mean success rate over black-box cells, and its interval, in percent.
        gradients: Gradient evaluations an image and model, of one seed.
        seconds: Seconds an image, mean over sources; None where a cell was not computed here, or by another row.
        by: The hardware that computed the cells.
    """

    attack: str
    objective: str
    success: float
    low: float
    high: float
    gradients: int
    seconds: float | None
    by: tuple[str, ...]

    @property
    def per_gradient(self) -> float:
        """Percent points of success a gradient evaluation."""
        return self.success / self.gradients

    @property
    def per_second(self) -> float | None:
        """Percent points of success a second; None where the seconds are not known."""
        return self.success / self.seconds if self.seconds else None


def cost_effectiveness_rows(folder: Path, results: Results, known: MeanRates | None = None) -> list[CostEffectiveness]:
    """The success and cost of each attack with black-box cells, the best first, untargeted before targeted ones.

    Args:
        folder: The experiment's.
        results: Its metrics.
        known: Mean rates with their intervals; those of agreement.json where not given.
    """
    known = recorded_mean_rates(folder) if known is None else known
    costs = [cost for name in results.experiment.attacks for cost in _of_attack(folder, results, name, known)]
    return sorted(costs, key=lambda cost: (cost.objective == "targeted", -cost.success, cost.gradients))


def _of_attack(folder: Path, results: Results, name: str, known: MeanRates) -> Iterable[CostEffectiveness]:
    """The success and cost of one attack; none where it has no black-box cells."""
    row, rates_at = results.experiment.attacks[name], detail_rows.rates_by_gradients(results, name, known)
    if not rates_at:
        return
    rates = rates_at[max(rates_at)]
    cells = [timings.read_timing(folder, source, name, row) for source in results.experiment.sources]
    times = [cell.seconds / cell.images / max(len(row.seeds or ()), 1) for cell in cells if cell is not None]
    seconds = sum(times) / len(times) if len(times) == len(cells) else None
    by = tuple(sorted({cell.by for cell in cells if cell is not None})) if seconds is not None else ()
    yield CostEffectiveness(
        name,
        row.objective,
        rates["success"],
        rates["low"],
        rates["high"],
        row.gradient_evaluations_per_seed,
        seconds,
        by,
    )
