"""The success rates that the paper (paper_rates.csv) or a protocol reports, looked up by cell. Rates are percent."""

import csv
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources

from crossfool.attacks.config import Attack
from crossfool.experiment.config import Experiment
from crossfool.report.reported import protocol_rates

PARAMETERS = ("objective", "epsilon", "steps", "step_size", "gradient", "samples", "sigma", "update", "decay")
ANY = "*"  # in paper_attacks.csv, for a parameter that the paper does not give
METRICS = {"top1": "top-1", "top5": "top-5"}
CellKey = tuple[str, frozenset[str], str, tuple[object, ...]]  # data set's family, source's members, target, parameters


@dataclass(frozen=True)
class ReportedRate:
    """A reported success rate: percent, and the paper's table that it stands in ("table3"), or the protocol's name."""

    percent: float
    table: str


def reported_rates(experiment: Experiment, source: str, target: str, attack: Attack) -> dict[str, ReportedRate]:
    """Look up the figures for a cell, the paper's or the experiment's protocol's: metric (top1, top5) -> figure.

    An experiment that follows a protocol has the figures of `protocol_rates.protocol_rate`, and none of the paper's. A
    cell has figures only where every parameter of the attack is the paper's. An attack's name does not matter, nor
    does the order of an ensemble's members. The paper does not say what an ensemble takes the mean of, so `fusion` is
    not compared. Tables 3 and 5 share cells and differ there, since each has its own 5,000 images, right under its own
    models: among several tables, the one whose models are most nearly the experiment's counts. A subset `of: all` has
    no figures: its rates are of other images than the paper's. Nor have tuning images: their rates are no results.
    """
    protocol = protocol_rates.protocol_of(experiment)
    if protocol is not None:
        rate = protocol_rates.protocol_rate(protocol, experiment, source, target, attack)
        return {} if rate is None else {"top1": ReportedRate(rate, protocol.key)}
    if attack.has_later_parts or experiment.subset.of == "all" or experiment.subset.uses_tuning:
        return {}
    models = set(experiment.models)
    parameters = parameters_of(attack)
    figures = _paper().get((experiment.dataset.family, frozenset(source.split("+")), target, parameters), [])

    def likeness(figure: ReportedRate) -> float:
        """Jaccard index of the experiment's models and those of the figure's table."""
        table_models = _paper_models()[figure.table]
        return len(table_models & models) / len(table_models | models)

    best: dict[str, ReportedRate] = {}
    for metric, figure in figures:
        if metric not in best or likeness(figure) > likeness(best[metric]):
            best[metric] = figure
    return best


def table_text(name: str) -> str:
    """The name of one of the paper's tables or figures in words: "table 2a" for "table2a"."""
    return name.replace("table", "table ").replace("figure", "figure ")


def attack_parameters(name: str) -> dict[str, tuple[object, ...]]:
    """Attack -> values of `PARAMETERS`, of the attacks that one of the paper's tables or figures is of."""
    return {row["attack"]: parameters_of(row) for row in csv_rows("paper_attacks.csv") if row["table"] == name}


def attacks_of(name: str, experiment: Experiment) -> Iterator[tuple[str, str]]:
    """Find the attacks of an experiment that one of the paper's tables or figures is of, too.

    Yields:
        The attack's name in the paper, and in the experiment, where every parameter that the paper gives is the same.
    """
    for in_paper, wanted in attack_parameters(name).items():
        for attack, row in experiment.rows.items():
            given = () if row.has_later_parts else parameters_of(row)
            if given and all(value in (ANY, own) for value, own in zip(wanted, given, strict=True)):
                yield in_paper, attack


def parameters_of(attack: Attack | dict[str, str]) -> tuple[object, ...]:
    """The values of `PARAMETERS` of an attack, or of a row of paper_attacks.csv."""
    if isinstance(attack, dict):
        return tuple(_value(attack[name]) for name in PARAMETERS)
    return tuple(attack.value(name) for name in PARAMETERS)


@functools.cache
def _paper() -> dict[CellKey, list[tuple[str, ReportedRate]]]:
    """Cell -> metrics and figures, in the order of the paper's tables."""
    attacks = {(row["table"], row["attack"]): row for row in csv_rows("paper_attacks.csv")}
    figures: dict[CellKey, list[tuple[str, ReportedRate]]] = {}
    for row in csv_rows("paper_rates.csv"):
        attack = attacks[row["experiment"], row["attack"]]
        assert (attack["dataset"], attack["metric"]) == (row["dataset"], row["metric"])
        parameters = parameters_of(attack)
        key = (row["dataset"], frozenset(row["source"].split("+")), row["target"], parameters)
        figure = ReportedRate(float(row["success_rate_percent"]), row["experiment"])
        figures.setdefault(key, []).append((row["metric"], figure))
    return figures


@functools.cache
def _paper_models() -> dict[str, set[str]]:
    """Table of the paper -> its models."""
    models: dict[str, set[str]] = {}
    for row in csv_rows("paper_rates.csv"):
        models.setdefault(row["experiment"], set()).update([*row["source"].split("+"), row["target"]])
    return models


@functools.cache
def csv_rows(name: str) -> tuple[dict[str, str], ...]:
    """Rows of a CSV beside this module."""
    text = (resources.files("crossfool") / "report" / "reported" / name).read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))


def _value(text: str) -> object:
    """A value of `paper_attacks.csv`: a number, a word, or None where nothing stands."""
    try:
        return float(text) if text else None
    except ValueError:
        return text
