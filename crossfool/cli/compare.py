"""The output of `crossfool compare`: paired differences as a table, with intervals and p-values."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from crossfool.cli.console import print_json
from crossfool.experiment.results.comparison import Comparison, Pooled
from crossfool.report.comparison_table import comparison_table
from crossfool.report.number_text import difference_text, interval_text, p_equation, p_value_text
from crossfool.report.renderers import terminal
from crossfool.report.renderers.json_text import table_content
from crossfool.stats.paired_difference import Difference
from crossfool.stats.paired_tests import SIGNIFICANCE_LEVEL


def show(comparison: Comparison, console: Console, metric: str = "top1", *, as_json: bool = False) -> None:
    """Print a comparison of success rates by `metric`, top1 or top5."""
    if as_json:
        print_json(_content(comparison, metric))
        return
    first, second = comparison.names
    rates = "success rates" if metric == "top1" else "top-5 success rates"
    images = "1 image" if comparison.images == 1 else f"{comparison.images:,} images"
    console.print(Text(f"{first} − {second}: {rates} in percent, paired on the same {images}", style="bold"))
    for line in comparison.about:
        console.print(Text(f"  {line}"))
    if comparison.shown:
        console.print()
        terminal.print_table(comparison_table(comparison), console)
        console.print()
    for pooled in comparison.pooled:
        if not pooled.same:
            console.print(_pooled_line(pooled, len(comparison.pooled) > 1))
    for line in _notes(comparison):
        console.print(Text(line, style="dim"))


def _content(comparison: Comparison, metric: str) -> dict[str, Any]:
    """All numbers of a comparison: its cells as rows, and the pooled differences in percent points."""
    pooled = [
        {"attack": one.attack, "cells": one.cells, "same_files": one.same, **asdict(one.difference)}
        for one in comparison.pooled
    ]
    about = {"names": comparison.names, "about": comparison.about, "metric": metric, "images": comparison.images}
    rows = table_content(comparison_table(comparison))["rows"]
    return about | {"rows": rows, "pooled": pooled, "left_out": comparison.left_out}


def _points(difference: Difference) -> tuple[str, str]:
    """The percent points of a difference, and their colour: none where the adjusted p is not below the level."""
    colour = "" if difference.adjusted >= SIGNIFICANCE_LEVEL else "green" if difference.points > 0 else "red"
    return difference_text(difference.points), colour


def _pooled_line(pooled: Pooled, several: bool) -> Text:
    """The line of a pooled difference, with the attack's name and the adjusted p where there are several."""
    cells = "black-box cell" if pooled.cells == 1 else "black-box cells"
    difference = pooled.difference
    name = f"{pooled.attack}: " if several else ""
    adjusted = f", {p_value_text(difference.adjusted)} by Holm" if several else ""
    interval = f" {interval_text(difference.low, difference.high)}"
    rest = f" points{interval}, {p_equation(difference.p)}{adjusted}"
    return Text.assemble((f"{name}pooled over {pooled.cells} {cells}: ", "bold"), _points(difference), rest)


def _notes(comparison: Comparison) -> Iterator[str]:
    tested = len(comparison.rows)
    if same := tested - len(comparison.shown):
        yield f"{same} of {tested} cells have the very same file in both and are not shown; Holm counts them."
    if comparison.left_out:
        more = f" (and {len(comparison.left_out) - 1} more)" if len(comparison.left_out) > 1 else ""
        yield f"Left out: {comparison.left_out[0]}{more}."
    if not comparison.shown:
        return
    if any(row.whitebox for row in comparison.shown):
        yield "* white-box: not pooled."
    cells = "1 cell" if tested == 1 else f"the table's {tested} cells"
    yield (
        f"Intervals: 95%, Newcombe's for paired proportions; p: exact McNemar test, by Holm's method for {cells}. "
        "Pooled: exact permutation test over images, intervals clustered by image."
    )
    if comparison.of_attacks:
        yield (
            "Pooled p is of this pair alone, unadjusted; the report's page adjusts it for all pairs of attacks, and a "
            "cell's p for all cells of all pairs."
        )
    yield "An interval excludes 0 where its own p, before Holm's method, is below 0.05."
