"""The attacks of an experiment against each other on the same images, and what is known of their takes.

An image's success is its mean over the black-box cells, since cells share their images; intervals are Student's over
images (Wilson's, or Newcombe's for a difference, where there is one cell). Imports no torch.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from crossfool import pooling, worth
from crossfool.evidence import LEVEL, Evidence
from crossfool.results import Results
from crossfool.stats import intervals, paired_difference
from crossfool.stats import rates as stats_rates
from crossfool.stats.paired_tests import holm

COLUMNS = {
    "ranking": [
        *("rank", "attack", "objective", "success", "low", "high", "cells", "n"),
        *("gradients", "success_per_gradient", "l2", "linf", "ssim", "lpips"),
    ],
    "pairwise": [
        *("first", "second", "objective", "difference", "low", "high", "p", "p_holm", "differs", "cells", "n"),
    ],
    "mcnemar": [
        *("first", "second", "objective", "source", "target", "first_rate", "second_rate", "difference", "low", "high"),
        *("first_alone", "second_alone", "p", "p_holm", "differs", "n"),
    ],
    "samples": worth.COLUMNS,
    "budget": ["objective", "budget", "place", "attack", "gradients", "success", "low", "high", "cells", "n"],
    "cost": ["attack", "source", "target", "step", "gradients", "rate", "low", "high", "n"],
    "seeds": ["attack", "source", "target", "whitebox", "seeds", "mean", "deviation", "least", "most", "n"],
    "quantisation": ["attack", "source", "target", "whitebox", "way", "rate", "low", "high", "n"],
    "denominators": [
        *("attack", "source", "target", "whitebox", "counted", "rate", "low", "high", "n"),
        *("clean_error", "clean_low", "clean_high"),
    ],
}
AT_COST = (
    "Success in percent after at most so many gradient evaluations an image and model: at an attack's last recorded "
    "step within them. Its steps are those of its whole run: made for fewer gradients, it would take larger ones. Mean "
    "over black-box cells, and of the ends of their Wilson 95% intervals; over all attacked images, whether models "
    "were right on the clean ones or not."
)
OBJECTIVES = ("untargeted", "targeted")
Rows = list[dict[str, Any]]


def tables(results: Results, evidence: Evidence) -> dict[str, Rows]:
    """Name (a key of `COLUMNS`) -> rows; none where the experiment has nothing of the kind. Rates are percent."""
    return {
        "ranking": ranked(results, evidence),
        "pairwise": pairwise(evidence),
        "mcnemar": mcnemar(evidence),
        "samples": worth.rows(evidence),
        "budget": list(_budgets(results)),
        "cost": list(_cost(results)),
        "seeds": list(_seeds(results)),
        "quantisation": list(_ways(results, "quantisation")),
        "denominators": list(_ways(results, "denominators")),
    }


def ranked(results: Results, evidence: Evidence) -> Rows:
    """Attacks by success, the best first, untargeted ones before targeted; beside what they cost and change.

    Equals share a rank, the cheaper first.
    """
    rows: Rows = []
    for attack, row in results.experiment.attacks.items():
        cells = evidence.cells(attack)
        if not cells:
            continue
        hits = [evidence.success(source, attack, target) for source, target in cells]
        low, high = _ends(hits)
        sizes = [results.detail[source, attack]["size"] for source in dict.fromkeys(source for source, _ in cells)]
        rate = 100 * float(np.mean(hits))
        found: dict[str, Any] = {"attack": attack, "objective": row.objective}
        found |= {"success": round(rate, 4), "low": low, "high": high}
        found |= {"cells": len(cells), "n": len(hits[0]), "gradients": row.gradients}
        found |= {"success_per_gradient": round(rate / row.gradients, 4)}
        found |= {key: round(float(np.mean([size[key] for size in sizes])), 4) for key in ("l2", "linf", "ssim")}
        apart = [size.get("lpips") for size in sizes]
        found["lpips"] = None if None in apart else round(float(np.mean(apart)), 4)
        rows.append(found)
    rows.sort(key=lambda one: (one["objective"] == "targeted", -one["success"], one["gradients"]))
    rivals = {objective: [one["success"] for one in rows if one["objective"] == objective] for objective in OBJECTIVES}
    return [{"rank": _place(one["success"], rivals[one["objective"]]), **one} for one in rows]


def _place(success: float, all_of: Sequence[float]) -> int:
    """1 for the best; equals share a place."""
    return 1 + sum(other > success for other in all_of)


def _ends(hits: Sequence[np.ndarray]) -> tuple[float | None, float | None]:
    """The 95% interval of the mean over cells, in percent; None where no image differs from another.

    Wilson's over images where there is one cell, or where the attack succeeds on all images of all cells, or on none.
    """
    if len(hits) == 1 or len(np.unique(hits)) == 1:
        found = stats_rates.rate(int(hits[0].sum()), len(hits[0]))
        return found.low, found.high
    interval = intervals.mean(np.mean(hits, 0))
    if interval is None:
        return None, None
    low, high = (round(100 * min(max(end, 0.0), 1.0), 4) for end in interval)
    return low, high


def pairwise(evidence: Evidence) -> Rows:
    """Every two attacks of one objective: by how much the first succeeds more often, and whether that is chance.

    p is of the exact McNemar test where they share one black-box cell, else of the exact sign-flip permutation test
    over images; `p_holm` is adjusted by Holm's method for all pairs of the table.
    """
    attacks = evidence.experiment.attacks
    rows: Rows = []
    for first, second in itertools.combinations(attacks, 2):
        pairs = evidence.against(first, second)
        if attacks[first].objective != attacks[second].objective or not pairs:
            continue
        one = paired_difference.pooled(pairs)
        found: dict[str, Any] = {"first": first, "second": second, "objective": attacks[first].objective}
        found |= {"difference": round(one.points, 4)}
        found |= {name: None if end is None else round(end, 4) for name, end in (("low", one.low), ("high", one.high))}
        found |= {"p": one.p}
        found |= {"cells": len(pairs), "n": len(pairs[0][0])}
        rows.append(found)
    adjusted = holm([row["p"] for row in rows])
    return [row | {"p_holm": p, "differs": p < LEVEL} for row, p in zip(rows, adjusted, strict=True)]


def mcnemar(evidence: Evidence) -> Rows:
    """Every two attacks of one objective on each black-box cell that both have, by the exact McNemar test.

    `first_alone` and `second_alone` count the images that only that one succeeds on, which the test is of; `p_holm` is
    adjusted by Holm's method for all rows of the table.
    """
    attacks = evidence.experiment.attacks
    rows: Rows = []
    for first, second in itertools.combinations(attacks, 2):
        if attacks[first].objective != attacks[second].objective:
            continue
        for (source, target), (a, b) in zip(
            evidence.common(first, second), evidence.against(first, second), strict=True
        ):
            one = paired_difference.paired((a, b))
            found: dict[str, Any] = {"first": first, "second": second, "objective": attacks[first].objective}
            found |= {"source": source, "target": target}
            found |= {"first_rate": round(100 * float(a.mean()), 4), "second_rate": round(100 * float(b.mean()), 4)}
            found |= {
                "difference": round(one.points, 4),
                "low": round(one.low or 0.0, 4),
                "high": round(one.high or 0.0, 4),
            }
            found |= {"first_alone": int((a & ~b).sum()), "second_alone": int((b & ~a).sum()), "p": one.p}
            rows.append(found | {"n": len(a)})
    adjusted = holm([row["p"] for row in rows])
    return [row | {"p_holm": p, "differs": p < LEVEL} for row, p in zip(rows, adjusted, strict=True)]


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


def _cost(results: Results) -> Iterator[dict[str, Any]]:
    """Success after each recorded step of black-box cells."""
    for attack, source, target, steps in _kept(results, "steps"):
        if (source, target) not in pooling.black_box(results, attack):
            continue
        for step, rates in steps.items():
            about = {"attack": attack, "source": source, "target": target, "step": int(step)}
            yield about | {"gradients": rates["gradients"]} | _rates(rates, _metric(results, attack))


def _budgets(results: Results) -> Iterator[dict[str, Any]]:
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
                place = _place(rates["success"], rivals)
                about = {"objective": objective, "budget": budget, "place": place, "attack": name}
                yield about | {"gradients": gradients} | rates


def reached(results: Results, attack: str) -> dict[int, dict[str, Any]]:
    """Gradient evaluations -> mean rates over an attack's black-box cells, of each step that is known of it."""
    metric, row = _metric(results, attack), results.experiment.attacks[attack]
    found: dict[int, list[dict[str, Any]]] = {}
    for source, target in pooling.black_box(results, attack):
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


def _seeds(results: Results) -> Iterator[dict[str, Any]]:
    for attack, source, target, spread in _kept(results, "seeds"):
        metric = _metric(results, attack)
        rates = [one[metric] for one in spread["rates"].values()]
        about = {"attack": attack, "source": source, "target": target, "whitebox": target in source.split("+")}
        about |= {"seeds": " ".join(spread["rates"]), "mean": spread[f"{metric}_mean"]}
        about |= {"deviation": spread[f"{metric}_deviation"], "least": min(rates), "most": max(rates)}
        yield about | {"n": next(iter(spread["rates"].values()))["n"]}


def _ways(results: Results, kind: str) -> Iterator[dict[str, Any]]:
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


# --- in words -----------------------------------------------------------------------------------------------------


def lines(found: Mapping[str, Rows]) -> list[str]:
    """The same for tables.md: paragraphs and tables."""
    parts: list[str] = []
    if len(found["ranking"]) > 1:
        apart = any(row["lpips"] is not None for row in found["ranking"])
        head = [
            f"| | attack | success, % | gradients | success a gradient | L2 | SSIM |{' LPIPS |' if apart else ''}",
            f"|---:|---|---:|---:|---:|---:|---:|{'---:|' if apart else ''}",
        ]
        rows = [
            f"| {row['rank']} | {row['attack']} | {row['success']:.1f} {_interval(row)} | {row['gradients']:,} | "
            f"{row['success_per_gradient']:.2f} | {row['l2']:.0f} | {row['ssim']:.3f} |"
            + (f" {_number(row['lpips'], 3)} |" if apart else "")
            for row in found["ranking"]
        ]
        differing = sum(row["differs"] for row in found["pairwise"])
        parts += [
            "## Attacks ranked",
            "Mean success over black-box cells (top-1; top-5 of targeted attacks) with a 95% interval over images, "
            "beside gradient evaluations an image and model, mean L2 norm of the change in pixel values, and mean "
            f"structural similarity to the clean image (SSIM, 1 if the same)"
            f"{' and perceptual distance from it (LPIPS, 0 if the same)' if apart else ''}.",
            "\n".join([*head, *rows]),
        ]
        if found["pairwise"]:
            parts.append(
                f"Of {len(found['pairwise'])} pairs of attacks, {differing} differ on these images (paired tests, "
                "Holm's correction, 5%): pairwise.csv has them all; mcnemar.csv has each cell of them, by the exact "
                "McNemar test."
            )
    if found["samples"]:
        table = [["attack", "noise", "m", "success, %", "worth so many Gaussian samples"]]
        table.append(["---", "---", "---:", "---:", "---:"])
        table += [
            [row["attack"], row["noise"], f"{row['samples']}", f"{row['success']:.1f}", _worth(row)]
            for row in found["samples"]
        ]
        parts += ["## Samples at equal success", worth.SAID, "\n".join(f"| {' | '.join(line)} |" for line in table)]
    for objective in OBJECTIVES:
        some = [row for row in found["budget"] if row["objective"] == objective]
        if some:
            parts += [f"## {objective.capitalize()} attacks at equal cost", AT_COST, _at_cost(some)]
    for name, said in (
        ("seeds", "success over seeds: mean and sample deviation"),
        ("quantisation", "success on floats, on rounded and on truncated images"),
        (
            "denominators",
            "success over all images, those that the target gets right, those that all get right",
        ),
        ("budget", "success at equal cost, with places"),
        ("cost", "success after each recorded step"),
    ):
        if found[name]:
            parts.append(f"{name}.csv: {said}.")
    return parts


def _at_cost(rows: Rows) -> str:
    """A row an attack, the best of the largest budget first; a column a budget."""
    budgets = list(dict.fromkeys(row["budget"] for row in rows))
    cells = {(row["attack"], row["budget"]): f"{row['success']:.1f} {_interval(row)}" for row in rows}
    table = [["attack", *(f"{budget:,}" for budget in budgets)], ["---", *["---:"] * len(budgets)]]
    for attack in [row["attack"] for row in rows if row["budget"] == budgets[-1]]:
        table.append([attack, *(cells.get((attack, budget), "–") for budget in budgets)])
    return "\n".join(f"| {' | '.join(line)} |" for line in table)


def _worth(row: Mapping[str, Any]) -> str:
    low, worth, high = (_number(row[key], 1) for key in ("low", "worth", "high"))
    return f"{worth} [{low}, {high}]"


def _number(value: float | None, places: int) -> str:
    return "–" if value is None else f"{value:.{places}f}"


def _interval(row: Mapping[str, Any]) -> str:
    return "" if row["low"] is None else f"[{row['low']:.1f}, {row['high']:.1f}]"
