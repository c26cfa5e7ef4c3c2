"""Comparison of our success rates with reported ones, the paper's or a protocol's, cell by cell; all in percent."""

from collections.abc import Sequence
from typing import Any

from crossfool.experiment.results.metrics import Results
from crossfool.report.reported.published_rates import reported_rates
from crossfool.stats.paired_tests import spearman_rho

COLUMNS = (
    "paper_table",
    "metric",
    "source",
    "target",
    "attack",
    "ours",
    "low",
    "high",
    "n",
    "paper",
    "difference",
    "within",
)


def comparison_rows(results: Results) -> list[dict[str, Any]]:
    """A row of `COLUMNS` for each of the paper's figures that a cell of `attacks` or of a grid reproduces.

    In an experiment that follows a protocol, the protocol's figures are in the place of the paper's. `low` to `high` is
    our 95% interval, of `n` images, `difference` is ours minus the paper's, and `within` says whether the paper's
    figure lies in our interval. A grid's cell whose attack is one of `attacks` is left out.
    """
    rows = []
    named_attacks = {results.experiment.row(attack) for _, attack in results.success}
    for (source, attack), targets in (*results.success.items(), *results.swept.items()):
        row = results.experiment.row(attack)
        if attack not in results.experiment.attacks and row in named_attacks:
            continue  # the same attack under another name
        for target, rates in targets.items():
            if rates["whitebox"]:
                continue
            for metric, figure in reported_rates(results.experiment, source, target, row).items():
                ours, low, high = rates[metric], rates[f"{metric}_low"], rates[f"{metric}_high"]
                difference, within = round(ours - figure.percent, 4), low <= figure.percent <= high
                cell = (figure.table, metric, source, target, attack)
                values = (*cell, ours, low, high, rates["n"], figure.percent, difference, within)
                rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def agreement_summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Agreement of our rates with the paper's over all `comparison_rows`: differences in points, and Spearman's rho.

    The keys are `cells`, `within` (of how many the paper's figure lies in our interval), `mean_absolute_difference`,
    `mean_difference` and `rank_correlation`; a value of these three is None where there are too few rows for it.
    """
    count = len(rows)
    differences = [row["difference"] for row in rows]
    rank = spearman_rho([row["ours"] for row in rows], [row["paper"] for row in rows]) if count >= 3 else None
    return {
        "cells": count,
        "within": sum(row["within"] for row in rows),
        "mean_absolute_difference": round(sum(map(abs, differences)) / count, 4) if count else None,
        "mean_difference": round(sum(differences) / count, 4) if count else None,
        "rank_correlation": None if rank is None else round(rank, 4),
    }
