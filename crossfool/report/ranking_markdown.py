"""Ranking, pairs, budgets and seeds as Markdown."""

from collections.abc import Mapping
from typing import Any

from crossfool.experiment.results import sample_equivalence
from crossfool.experiment.results.ranking import Rows
from crossfool.experiment.results.snapshots import OBJECTIVES

AT_COST = (
    "Success in percent after at most so many gradient evaluations an image and model: at an attack's last recorded "
    "step within them. Its steps are those of its whole run: made for fewer gradients, it would take larger ones. Mean "
    "over black-box cells, and of the ends of their Wilson 95% intervals; over all attacked images, whether models "
    "were right on the clean ones or not."
)


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
        parts += [
            "## Samples at equal success",
            sample_equivalence.SAID,
            "\n".join(f"| {' | '.join(line)} |" for line in table),
        ]
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
