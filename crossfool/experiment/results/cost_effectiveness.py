"""What success an attack has for what it costs: gradient evaluations, and seconds where they were taken here.

From metrics and what `timing` noted; imports no torch.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from crossfool.experiment.results import snapshots
from crossfool.experiment.results.metrics import Results
from crossfool.pipeline.crafting import timings

TIMES = (
    "; seconds an image, as this machine took them when it computed the cells last (mean over sources, without loading "
    "the models)"
)
SAID = (
    "Mean success over black-box cells (top-1; top-5 of targeted attacks), and of the ends of their Wilson 95% "
    f"intervals; gradient evaluations an image and model{TIMES}; success divided by each."
)


@dataclass(frozen=True)
class Spent:
    """An attack's success and cost.

    Attributes:
        attack, objective: Its name, and untargeted or targeted.
        success, low, high: Percent.
        gradients: An image and model, of one seed.
        seconds: An image, mean over sources; None where some cell was not computed here, or differently.
        by: What computed.
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
        return self.success / self.gradients

    @property
    def per_second(self) -> float | None:
        return self.success / self.seconds if self.seconds else None


def shown(number: float | None) -> str:
    """Three digits of a number; whole from a thousand on."""
    return "–" if number is None else f"{number:,.0f}" if number >= 1000 else f"{number:.3g}"


def said(costs: Sequence[Spent]) -> str:
    """What the numbers are, and whose the seconds are, if any."""
    by = ", ".join(sorted({name for one in costs for name in one.by}))
    return f"{SAID} Computed by: {by}." if by else SAID.replace(TIMES, "")


def spent(folder: Path, results: Results) -> list[Spent]:
    """A line for each attack with black-box cells, the best first, untargeted ones before targeted.

    Args:
        folder: The experiment's.
        results: Its metrics.
    """
    found = [one for name in results.experiment.attacks for one in _one(folder, results, name)]
    return sorted(found, key=lambda one: (one.objective == "targeted", -one.success, one.gradients))


def _one(folder: Path, results: Results, name: str) -> Iterable[Spent]:
    row, known = results.experiment.attacks[name], snapshots.reached(results, name)
    if not known:
        return
    rates = known[max(known)]
    taken = [timings.find(folder, source, name, row) for source in results.experiment.sources]
    times = [one.seconds / one.images / max(len(row.seeds or ()), 1) for one in taken if one is not None]
    seconds = sum(times) / len(times) if len(times) == len(taken) else None
    by = tuple(sorted({one.by for one in taken if one is not None})) if seconds is not None else ()
    yield Spent(name, row.objective, rates["success"], rates["low"], rates["high"], row.gradients, seconds, by)
