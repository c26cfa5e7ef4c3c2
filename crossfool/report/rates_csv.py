"""Rows of the report's CSV files of rates: results.csv, destruction.csv, destruction_pooled.csv. Rates are percent."""

from collections.abc import Iterable, Mapping
from typing import Any

from crossfool.attacks.config import in_order
from crossfool.experiment.results import pooled_destruction
from crossfool.experiment.results.metrics import Results
from crossfool.report.reported.published_rates import reported_rates

PARAMETERS = (  # of each attack, in every results.csv
    *("objective", "epsilon", "steps", "step_size", "gradient", "samples", "sigma"),
    *("update", "decay", "noise", "radius", "diversity", "resize", "scales", "kernel"),
)
NOT_SHOWN = ("method", "options", "seed", "fusion", "record_steps", "seeds", "quantisation")
RATES = (
    *("gradients", "whitebox", "n", "top1", "top1_low", "top1_high", "top5", "top5_low", "top5_high"),
    *("paper", "difference", "paper_table", "paper_top5", "difference_top5", "paper_top5_table"),
)


def columns(results: Results) -> list[str]:
    """Columns of results.csv: with a column for each further key that an attack of the experiment has."""
    return ["source", "target", "attack", *_parameters(results), *RATES]


def _parameters(results: Results) -> list[str]:
    given = {key for attack in results.experiment.attacks.values() for key in attack.model_dump(exclude_none=True)}
    return [*PARAMETERS, *in_order(given - {*PARAMETERS, *NOT_SHOWN})]


def success_rows(results: Results) -> Iterable[dict[str, Any]]:
    """A row for each source, target and attack, with the attack's parameters and the paper's figures."""
    experiment = results.experiment
    for (source, name), targets in results.success.items():
        attack = experiment.attacks[name]
        parameters = {key: attack.value(key) for key in _parameters(results)}
        parameters["gradients"] = attack.gradient_evaluations_per_seed
        for target, rates in targets.items():
            row = {"source": source, "target": target, "attack": name, **parameters}
            row |= {key: rates[key] for key in RATES if key in rates}
            for metric, figure in reported_rates(experiment, source, target, attack).items():
                suffix = "" if metric == "top1" else f"_{metric}"
                row[f"paper{suffix}"] = figure.percent
                row[f"difference{suffix}"] = round(rates[metric] - figure.percent, 4)
                row[f"paper{suffix}_table"] = figure.table
            yield row


def destruction_rows(results: Results) -> Iterable[dict[str, Any]]:
    """A row for each source, target, attack, transform and level."""
    for (source, attack), targets in results.destruction.items():
        for target, transforms in targets.items():
            whitebox = results.success[source, attack][target]["whitebox"]
            for transform, levels in transforms.items():
                for level, rates in levels.items():
                    row = {"source": source, "target": target, "attack": attack, "whitebox": whitebox}
                    yield row | {"transform": transform, "level": level} | rates


def pooled_rows(pools: Mapping[str, Mapping[str, pooled_destruction.DestructionRates]]) -> Iterable[dict[str, Any]]:
    """A row for each attack, transform and level, over all black-box pairs.

    Args:
        pools: Transform -> attack -> its destruction rates.
    """
    for transform, lines in pools.items():
        for attack, points in lines.items():
            for point in points:
                yield {"attack": attack, "transform": transform, **point._asdict()}
