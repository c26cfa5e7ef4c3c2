"""One number, one interval: the page's ranking, `show`'s costs and the leaderboard's record have the same ends."""

import csv
from pathlib import Path

from made_experiments import FOOLED, make, write_report

from crossfool.experiment.results import cost_effectiveness, mean_rates
from crossfool.experiment.results.metrics import load_metrics
from crossfool.report import table_modules
from crossfool.report.findings import read_findings


def test_ranking_costs_and_record_have_one_interval(tmp_path: Path) -> None:
    experiment = make(tmp_path, FOOLED)
    write_report(tmp_path, experiment, tmp_path / "report")
    with (tmp_path / "report/tables/ranking.csv").open(encoding="utf-8") as file:
        ranking = {
            row["attack"]: tuple(float(row[key]) for key in ("success", "low", "high")) for row in csv.DictReader(file)
        }
    recorded = mean_rates.recorded_mean_rates(tmp_path)
    assert {name: (rate.percent, rate.low, rate.high) for name, rate in recorded.items()} == ranking
    costs = cost_effectiveness.cost_effectiveness_rows(tmp_path, load_metrics(tmp_path, experiment))
    assert {cost.attack: (cost.success, cost.low, cost.high) for cost in costs} == ranking
    sections = table_modules.build_tables(read_findings(tmp_path, timed=True), brief=True)
    (spent,) = [table for table in sections["ranking"] if table.name == "spent"]
    assert {row["attack"]: (row["success"], row["low"], row["high"]) for row in spent.rows} == ranking


def test_a_record_of_other_rates_is_not_shown(tmp_path: Path) -> None:
    """Then the interval is the widest: Wilson's for the number of images."""
    known = mean_rates.best_known([50.0, 60.0], 8, None)
    other = mean_rates.MeanRate(40.0, 30.0, 50.0, 2, 8)
    assert mean_rates.best_known([50.0, 60.0], 8, other) == known and (known.percent, known.cells) == (55.0, 2)
    fits = mean_rates.MeanRate(55.0, 40.0, 70.0, 2, 8)
    assert mean_rates.best_known([50.0, 60.0], 8, fits) is fits
    assert mean_rates.recorded_mean_rates(tmp_path) == {}
