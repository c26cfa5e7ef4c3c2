"""Spread of success rates over networks of one model, which are trained with different seeds. Rates are percent."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from crossfool.experiment.results.metrics import Results
from crossfool.models.weights import registry

Rates = dict[str, dict[str, float]]  # source network -> target network -> success rate


def network_rows(results: Results) -> Iterator[dict[str, Any]]:
    """Mean and spread of the success rate over networks, for each attack, source model and target model.

    The unit is the source network, whose rate is its mean over the target model's networks: of itself in a white-box
    row, of all others in a black-box row. `deviation` is the sample deviation of these rates, `least` and `most` are
    their range; `target_deviation` is the sample deviation over target networks of their means over sources. Models of
    one network each are left out; so is the deviation of a single network.
    """
    for attack in results.experiment.attacks:
        metric = "top5" if results.experiment.attacks[attack].targeted else "top1"
        groups: dict[tuple[str, str, bool], Rates] = {}
        for source in results.experiment.sources:
            for target, rates in results.success[source, attack].items():
                group = groups.setdefault((_model(source), _model(target), rates["whitebox"]), {})
                group.setdefault(source, {})[target] = rates[metric]
        for (source_model, target_model, is_whitebox), cells in groups.items():
            targets = {target for rates in cells.values() for target in rates}
            if len(cells) > 1 or len(targets) > 1:
                yield {
                    "attack": attack,
                    "source": source_model,
                    "target": target_model,
                    "whitebox": is_whitebox,
                    "n": results.n,
                    **_spread(cells, is_whitebox),
                }


def _model(networks: str) -> str:
    """The name of a source or target without the seeds of its members."""
    return "+".join(registry.spec(member).model for member in networks.split("+"))


def _spread(cells: Mapping[str, Mapping[str, float]], is_whitebox: bool) -> dict[str, Any]:
    """Columns on the spread of rates: over source networks, and over target networks unless these are the sources."""
    of_sources = [float(np.mean(list(rates.values()))) for rates in cells.values()]
    columns: dict[str, Any] = {"networks": len(of_sources), "mean": round(float(np.mean(of_sources)), 4)}
    columns |= {"deviation": _deviation(of_sources), "least": round(min(of_sources), 4)}
    columns |= {"most": round(max(of_sources), 4), "target_networks": None, "target_deviation": None}
    if not is_whitebox:
        by_target: dict[str, list[float]] = {}
        for rates in cells.values():
            for target, rate in rates.items():
                by_target.setdefault(target, []).append(rate)
        of_targets = [float(np.mean(rates)) for rates in by_target.values()]
        columns |= {"target_networks": len(of_targets), "target_deviation": _deviation(of_targets)}
    return columns


def _deviation(rates: list[float]) -> float | None:
    return round(float(np.std(rates, ddof=1)), 4) if len(rates) > 1 else None
