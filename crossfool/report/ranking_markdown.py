"""Attacks set against each other as Markdown, for tables.md: ranking, samples, budgets. All rates are percent."""

from collections.abc import Mapping
from typing import Any

from crossfool.experiment.results import sample_equivalence
from crossfool.experiment.results.detail_rows import OBJECTIVES
from crossfool.experiment.results.ranking import Rows
from crossfool.report.number_text import interval_text
from crossfool.report.table import markdown_table

BUDGET_NOTE = (
    "Success in percent after at most so many gradient evaluations an image and model: at an attack's last recorded "
    "step within them. Its steps are those of its whole run: made for fewer gradients, it would take larger ones. Mean "
    "over black-box cells, and of the ends of their Wilson 95% intervals; over all attacked images, whether models "
    "were right on the clean ones or not."
)
FILES = {  # CSV of `report/` that tables.md only names -> what it holds
    "seeds": "success over seeds: mean and sample deviation",
    "quantisation": "success on floats, on rounded and on truncated images",
    "denominators": "success over all images, those that the target gets right, those that all get right",
    "budget": "success at equal cost, with places",
    "cost": "success after each recorded step",
}


def ranking_sections(tables: Mapping[str, Rows]) -> list[str]:
    """Paragraphs and tables for tables.md.

    Args:
        tables: Name of a CSV -> its rows, as `comparison_tables.comparison_tables` returns them.
    """
    parts: list[str] = []
    if len(tables["ranking"]) > 1:
        lpips = any(row["lpips"] is not None for row in tables["ranking"])
        head = [
            f"| | attack | success, % | gradients | success a gradient | L2 | SSIM |{' LPIPS |' if lpips else ''}",
            f"|---:|---|---:|---:|---:|---:|---:|{'---:|' if lpips else ''}",
        ]
        rows = [
            f"| {row['rank']} | {row['attack']} | {row['success']:.1f} {_interval(row)} | {row['gradients']:,} | "
            f"{row['success_per_gradient']:.2f} | {row['l2']:.0f} | {row['ssim']:.3f} |"
            + (f" {_number(row['lpips'], 3)} |" if lpips else "")
            for row in tables["ranking"]
        ]
        differing = sum(row["differs"] for row in tables["pairwise"])
        parts += [
            "## Attacks ranked",
            "Mean success over black-box cells (top-1; top-5 of targeted attacks) with a 95% interval over images, "
            "beside gradient evaluations an image and model, mean L2 norm of the change in pixel values, and mean "
            f"structural similarity to the clean image (SSIM, 1 if the same)"
            f"{' and perceptual distance from it (LPIPS, 0 if the same)' if lpips else ''}.",
            "\n".join([*head, *rows]),
        ]
        if tables["pairwise"]:
            parts.append(
                f"Of {len(tables['pairwise'])} pairs of attacks, {differing} differ on these images (paired tests, "
                "Holm's correction, 5%): pairwise.csv has them all; mcnemar.csv has each cell of them, by the exact "
                "McNemar test."
            )
    if tables["samples"]:
        samples_table = [
            ["attack", "noise", "m", "success, %", "worth so many Gaussian samples"],
            ["---", "---", "---:", "---:", "---:"],
            *(
                [row["attack"], row["noise"], f"{row['samples']}", f"{row['success']:.1f}", _worth(row)]
                for row in tables["samples"]
            ),
        ]
        parts += ["## Samples at equal success", sample_equivalence.COLUMNS_NOTE, markdown_table(samples_table)]
    for objective in OBJECTIVES:
        budget_rows = [row for row in tables["budget"] if row["objective"] == objective]
        if budget_rows:
            parts += [f"## {objective.capitalize()} attacks at equal cost", BUDGET_NOTE, _budget_table(budget_rows)]
    parts += [f"{name}.csv: {content}." for name, content in FILES.items() if tables[name]]
    return parts


def _budget_table(rows: Rows) -> str:
    """A row an attack, the best of the largest budget first; a column a budget."""
    budgets = list(dict.fromkeys(row["budget"] for row in rows))
    cells = {(row["attack"], row["budget"]): f"{row['success']:.1f} {_interval(row)}" for row in rows}
    table = [["attack", *(f"{budget:,}" for budget in budgets)], ["---", *["---:"] * len(budgets)]]
    for attack in [row["attack"] for row in rows if row["budget"] == budgets[-1]]:
        table.append([attack, *(cells.get((attack, budget), "–") for budget in budgets)])
    return markdown_table(table)


def _worth(row: Mapping[str, Any]) -> str:
    """The Gaussian samples that a row's samples are worth, with the interval."""
    low, worth, high = (_number(row[key], 1) for key in ("low", "worth", "high"))
    return f"{worth} [{low}, {high}]"


def _number(value: float | None, places: int) -> str:
    return "–" if value is None else f"{value:.{places}f}"


def _interval(row: Mapping[str, Any]) -> str:
    """The interval of a row; "" where it has none."""
    return "" if row["low"] is None else interval_text(row["low"], row["high"])
