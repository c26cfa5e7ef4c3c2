"""Success rates over steps, at a budget of gradient evaluations, over seeds, and by other denominators.

Each function yields the rows of one table. Rates are percent.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from crossfool.experiment.results import pooled_destruction
from crossfool.experiment.results.mean_rates import MeanRates, best_known
from crossfool.experiment.results.metrics import Results
from crossfool.stats.rates import wilson_rate as wilson_rate

OBJECTIVES = ("untargeted", "targeted")


def rank_among(success: float, rates: Sequence[float]) -> int:
    """The rank of a success rate among several: 1 for the best; equals share a rank."""
    return 1 + sum(rival > success for rival in rates)


def _details(results: Results, kind: str) -> Iterator[tuple[str, str, str, Mapping[str, Any]]]:
    """(attack, source, target, details of a kind) of each cell of `attacks` that has such details."""
    for (source, attack), targets in results.success.items():
        for target in targets:
            details = results.detail[source, attack][kind].get(target)
            if details:
                yield attack, source, target, details


def _metric(results: Results, attack: str) -> str:
    """The criterion of success: top5 for a targeted attack, else top1."""
    return "top5" if results.experiment.attacks[attack].targeted else "top1"


def _rates(rates: Mapping[str, Any], metric: str) -> dict[str, Any]:
    """The columns of a rate by one criterion."""
    return {"rate": rates[metric], "low": rates[f"{metric}_low"], "high": rates[f"{metric}_high"], "n": rates["n"]}


def cost_rows(results: Results) -> Iterator[dict[str, Any]]:
    """The success rate after each recorded step of black-box cells."""
    for attack, source, target, steps in _details(results, "steps"):
        if (source, target) not in pooled_destruction.black_box_cells(results, attack):
            continue
        for step, rates in steps.items():
            cell = {"attack": attack, "source": source, "target": target, "step": int(step)}
            yield cell | {"gradients": rates["gradients"]} | _rates(rates, _metric(results, attack))


def budget_rows(results: Results, known: MeanRates | None = None) -> Iterator[dict[str, Any]]:
    """Attacks at equal cost: success within a budget of gradient evaluations; none where no steps were recorded.

    A budget is the cost of some attack at one of its recorded steps, where it allows two or more attacks to be
    compared; equals share a place. An attack's success is its mean over black-box cells; its interval at the last step
    is that of `known`, and the widest possible before, where outcomes of images are not kept.
    """
    if not any(row.record_steps for row in results.experiment.attacks.values()):
        return
    for objective in OBJECTIVES:
        rows = {name: row for name, row in results.experiment.attacks.items() if row.objective == objective}
        rates_at = {name: steps for name in rows if (steps := rates_by_gradients(results, name, known))}
        for budget in sorted({gradients for steps in rates_at.values() for gradients in steps}):
            within = {name: max((g for g in steps if g <= budget), default=0) for name, steps in rates_at.items()}
            entries = [(rates_at[name][most], most, name) for name, most in within.items() if most]
            entries.sort(key=lambda entry: (-entry[0]["success"], entry[1]))
            rivals = [rates["success"] for rates, _, _ in entries]
            for rates, gradients, name in entries if len(entries) > 1 else ():
                rank = rank_among(rates["success"], rivals)
                columns = {"objective": objective, "budget": budget, "place": rank, "attack": name}
                yield columns | {"gradients": gradients} | rates


def rates_by_gradients(results: Results, attack: str, known: MeanRates | None = None) -> dict[int, dict[str, Any]]:
    """Gradient evaluations -> mean rates over an attack's black-box cells, at each recorded step, and at the last.

    Empty where the attack has no black-box cells.

    Args:
        results: Results of the experiment.
        attack: The attack's name.
        known: Mean rates of last steps with their intervals.
    """
    metric, row = _metric(results, attack), results.experiment.attacks[attack]
    rates_at: dict[int, list[dict[str, Any]]] = {}
    for source, target in pooled_destruction.black_box_cells(results, attack):
        steps = results.detail[source, attack]["steps"].get(target)
        last = {"": {"gradients": row.gradient_evaluations_per_seed, **results.success[source, attack][target]}}
        for rates in (steps or last).values():
            rates_at.setdefault(rates["gradients"], []).append(_rates(rates, metric))
    last_known = (known or {}).get(attack)
    means = {
        gradients: best_known(
            [rates["rate"] for rates in cells], cells[0]["n"], last_known if gradients == max(rates_at) else None
        )
        for gradients, cells in rates_at.items()
    }
    return {
        gradients: {"success": mean.percent, "low": mean.low, "high": mean.high, "cells": mean.cells, "n": mean.n}
        for gradients, mean in means.items()
    }


def seed_rows(results: Results) -> Iterator[dict[str, Any]]:
    """The mean, standard deviation and range of the success rate over seeds, for each cell of several seeds."""
    for attack, source, target, spread in _details(results, "seeds"):
        metric = _metric(results, attack)
        rates = [seed_rates[metric] for seed_rates in spread["rates"].values()]
        columns = _cell_columns(attack, source, target)
        columns |= {"seeds": " ".join(spread["rates"]), "mean": spread[f"{metric}_mean"]}
        columns |= {"deviation": spread[f"{metric}_deviation"], "least": min(rates), "most": max(rates)}
        yield columns | {"n": next(iter(spread["rates"].values()))["n"]}


def denominator_rows(results: Results, kind: str) -> Iterator[dict[str, Any]]:
    """Each cell's success rate by every quantisation or denominator.

    Args:
        results: The experiment's.
        kind: `quantisation` (images before and after they are rounded) or `denominators` (which images are counted).
    """
    name = "way" if kind == "quantisation" else "counted"
    for attack, source, target, ways in _details(results, kind):
        for way, rates in ways.items():
            if rates is None or isinstance(rates, Mapping):  # None: there is no such image
                columns = _cell_columns(attack, source, target)
                shown = {"n": 0} if rates is None else _rates(rates, _metric(results, attack))
                yield columns | {name: way} | shown | _clean_error(ways)


def _cell_columns(attack: str, source: str, target: str) -> dict[str, Any]:
    return {"attack": attack, "source": source, "target": target, "whitebox": target in source.split("+")}


def _clean_error(denominators: Mapping[str, Any]) -> dict[str, Any]:
    """The error rate on the clean attacked images, with its Wilson interval; no columns where it is not known."""
    if "clean_error" not in denominators:
        return {}
    n = denominators["all"]["n"]
    rate = wilson_rate(round(denominators["clean_error"] * n / 100), n)
    return {"clean_error": denominators["clean_error"], "clean_low": rate.low, "clean_high": rate.high}
