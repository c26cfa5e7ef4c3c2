"""Rates of snapshots: success over steps, at a budget of gradients, over seeds, and over other denominators."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from crossfool.experiment.results import pooled_destruction
from crossfool.experiment.results.metrics import Results
from crossfool.stats import rates as stats_rates

OBJECTIVES = ("untargeted", "targeted")


def rank_among(success: float, all_of: Sequence[float]) -> int:
    """1 for the best; equals share a place."""
    return 1 + sum(other > success for other in all_of)


# --- takes --------------------------------------------------------------------------------------------------------


def _kept(results: Results, kind: str) -> Iterator[tuple[str, str, str, Mapping[str, Any]]]:
    """Attack, source, target and what the details have of a kind; those of `attacks` alone."""
    for (source, attack), targets in results.success.items():
        for target in targets:
            found = results.detail[source, attack][kind].get(target)
            if found:
                yield attack, source, target, found


def _metric(results: Results, attack: str) -> str:
    return "top5" if results.experiment.attacks[attack].targeted else "top1"


def _rates(rates: Mapping[str, Any], metric: str) -> dict[str, Any]:
    return {"rate": rates[metric], "low": rates[f"{metric}_low"], "high": rates[f"{metric}_high"], "n": rates["n"]}


def cost_rows(results: Results) -> Iterator[dict[str, Any]]:
    """Success after each recorded step of black-box cells."""
    for attack, source, target, steps in _kept(results, "steps"):
        if (source, target) not in pooled_destruction.black_box(results, attack):
            continue
        for step, rates in steps.items():
            about = {"attack": attack, "source": source, "target": target, "step": int(step)}
            yield about | {"gradients": rates["gradients"]} | _rates(rates, _metric(results, attack))


def budget_rows(results: Results) -> Iterator[dict[str, Any]]:
    """Attacks at equal cost: success after as many gradients as a budget allows; none where no steps were recorded.

    A budget is what some attack has taken at a step that is known of it, where two or more can be compared; equals
    share a place. An attack's success is its mean over black-box cells, and so are the ends of the interval, Wilson's.
    """
    if not any(row.record_steps for row in results.experiment.attacks.values()):
        return
    for objective in OBJECTIVES:
        rows = {name: row for name, row in results.experiment.attacks.items() if row.objective == objective}
        known = {name: found for name in rows if (found := reached(results, name))}
        for budget in sorted({gradients for found in known.values() for gradients in found}):
            within = {name: max((g for g in found if g <= budget), default=0) for name, found in known.items()}
            places = [(known[name][most], most, name) for name, most in within.items() if most]
            places.sort(key=lambda one: (-one[0]["success"], one[1]))
            rivals = [rates["success"] for rates, _, _ in places]
            for rates, gradients, name in places if len(places) > 1 else ():
                place = rank_among(rates["success"], rivals)
                about = {"objective": objective, "budget": budget, "place": place, "attack": name}
                yield about | {"gradients": gradients} | rates


def reached(results: Results, attack: str) -> dict[int, dict[str, Any]]:
    """Gradient evaluations -> mean rates over an attack's black-box cells, of each step that is known of it."""
    metric, row = _metric(results, attack), results.experiment.attacks[attack]
    found: dict[int, list[dict[str, Any]]] = {}
    for source, target in pooled_destruction.black_box(results, attack):
        steps = results.detail[source, attack]["steps"].get(target)
        last = {"": {"gradients": row.gradients, **results.success[source, attack][target]}}
        for rates in (steps or last).values():
            found.setdefault(rates["gradients"], []).append(_rates(rates, metric))
    return {
        gradients: {
            "success": round(float(np.mean([one["rate"] for one in some])), 4),
            "low": round(float(np.mean([one["low"] for one in some])), 4),
            "high": round(float(np.mean([one["high"] for one in some])), 4),
            "cells": len(some),
            "n": some[0]["n"],
        }
        for gradients, some in found.items()
    }


def seed_rows(results: Results) -> Iterator[dict[str, Any]]:
    for attack, source, target, spread in _kept(results, "seeds"):
        metric = _metric(results, attack)
        rates = [one[metric] for one in spread["rates"].values()]
        about = {"attack": attack, "source": source, "target": target, "whitebox": target in source.split("+")}
        about |= {"seeds": " ".join(spread["rates"]), "mean": spread[f"{metric}_mean"]}
        about |= {"deviation": spread[f"{metric}_deviation"], "least": min(rates), "most": max(rates)}
        yield about | {"n": next(iter(spread["rates"].values()))["n"]}


def denominator_rows(results: Results, kind: str) -> Iterator[dict[str, Any]]:
    name = "way" if kind == "quantisation" else "counted"
    for attack, source, target, ways in _kept(results, kind):
        for way, rates in ways.items():
            if rates is None or isinstance(rates, Mapping):  # None: there is no such image
                about = {"attack": attack, "source": source, "target": target, "whitebox": target in source.split("+")}
                shown = {"n": 0} if rates is None else _rates(rates, _metric(results, attack))
                yield about | {name: way} | shown | _clean_error(ways)


def _clean_error(ways: Mapping[str, Any]) -> dict[str, Any]:
    """On the clean attacked images, with its Wilson interval; nothing where it is not known."""
    if "clean_error" not in ways:
        return {}
    n = ways["all"]["n"]
    found = stats_rates.rate(round(ways["clean_error"] * n / 100), n)
    return {"clean_error": ways["clean_error"], "clean_low": found.low, "clean_high": found.high}
