"""Success of attacks beside their cost: gradient evaluations, and seconds where this machine computed the cells.

Success comes from metrics, seconds from `pipeline.crafting.timings`. Imports no torch.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from crossfool.experiment.results import detail_rows
from crossfool.experiment.results.metrics import Results
from crossfool.pipeline.crafting import timings

SECONDS_NOTE = (
    "; seconds an image, as this machine took them when it computed the cells last (mean over sources, without loading "
    "the models)"
)
COLUMNS_NOTE = (
    "Mean success over black-box cells (top-1; top-5 of targeted attacks), and of the ends of their Wilson 95% "
    f"intervals; gradient evaluations an image and model{SECONDS_NOTE}; success divided by each."
)


@dataclass(frozen=True)
class CostEffectiveness:
    """The success and cost of an attack.

    Attributes:
        attack, objective: The attack's name, and untargeted or targeted.
        success, low, high: Mean success rate over black-box cells, and mean ends of its intervals, in percent.
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


def three_digits(number: float | None) -> str:
    """A number with three digits, a whole number from a thousand on; a dash for None."""
    return "–" if number is None else f"{number:,.0f}" if number >= 1000 else f"{number:.3g}"


def columns_note(costs: Sequence[CostEffectiveness]) -> str:
    """The note below the table: what the columns are, and which hardware the seconds are of, if there are any."""
    by = ", ".join(sorted({name for cost in costs for name in cost.by}))
    return f"{COLUMNS_NOTE} Computed by: {by}." if by else COLUMNS_NOTE.replace(SECONDS_NOTE, "")


def cost_effectiveness_rows(folder: Path, results: Results) -> list[CostEffectiveness]:
    """The success and cost of each attack with black-box cells, the best first, untargeted before targeted ones.

    Args:
        folder: The experiment's.
        results: Its metrics.
    """
    costs = [cost for name in results.experiment.attacks for cost in _of_attack(folder, results, name)]
    return sorted(costs, key=lambda cost: (cost.objective == "targeted", -cost.success, cost.gradients))


def _of_attack(folder: Path, results: Results, name: str) -> Iterable[CostEffectiveness]:
    """The success and cost of one attack; none where it has no black-box cells."""
    row, rates_at = results.experiment.attacks[name], detail_rows.rates_by_gradients(results, name)
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
