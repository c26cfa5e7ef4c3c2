"""Each attack's mean success rate over black-box cells, with the one interval of it (`stats.mean_rate`).

It needs outcomes image by image. Where only metrics are at hand, as in a clone, it is read from agreement.json, which
the report writes; where that has none that fits, the interval is the widest possible. Imports no torch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from crossfool.errors import UserError
from crossfool.experiment.results.outcomes import Evidence
from crossfool.stats.mean_rate import MeanRate, mean_rate, widest_mean_rate
from crossfool.storage.json_files import read_json

MeanRates = Mapping[str, MeanRate]  # attack -> mean rate over its black-box cells


def mean_rates(evidence: Evidence) -> MeanRates:
    """The mean rate of each attack of `attacks` with black-box cells: top-1, and top-5 of a targeted attack."""
    cells = {attack: evidence.cells(attack) for attack in evidence.experiment.attacks}
    return {
        attack: mean_rate([evidence.success(source, attack, target) for source, target in pairs])
        for attack, pairs in cells.items()
        if pairs
    }


def mean_rate_record(rates: MeanRates) -> dict[str, dict[str, Any]]:
    """Mean rates as agreement.json has them under `success`."""
    return {attack: asdict(rate) for attack, rate in rates.items()}


def recorded_mean_rates(folder: Path) -> MeanRates:
    """The mean rates in an experiment's agreement.json; none where the file is not there, or older or damaged."""
    try:
        values = read_json(folder / "agreement.json")
        return {attack: MeanRate(**rate) for attack, rate in values["success"].items()}
    except (UserError, OSError, KeyError, TypeError, AttributeError):
        return {}


def best_known(percents: Sequence[float], n: int, known: MeanRate | None) -> MeanRate:
    """The mean of cells' rates in percent with its interval: that of `known`, if it is of the same cells and images.

    Else the widest: of a record made before these metrics, or of the attacked images that all models get right alone.
    """
    widest = widest_mean_rate(percents, n)
    same = known is not None and (known.cells, known.n) == (widest.cells, n)
    return known if known is not None and same and abs(known.percent - widest.percent) < 1e-3 else widest
