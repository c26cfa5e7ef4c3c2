"""The paper's figures, by the cell that each belongs to."""

import csv
import functools
from dataclasses import dataclass
from importlib import resources

from crossfool.attacks.config import Attack
from crossfool.experiment.config import Experiment

# --- the paper's figures ----------------------------------------------------------------------------

PARTS = ("objective", "epsilon", "steps", "step_size", "gradient", "samples", "sigma", "update", "decay")
Key = tuple[str, frozenset[str], str, tuple[object, ...]]  # family, the source's members, target, attack


@dataclass(frozen=True)
class Reported:
    """A figure of the paper: percent, and the table that it stands in ("table3")."""

    percent: float
    table: str


def reported(experiment: Experiment, source: str, target: str, attack: Attack) -> dict[str, Reported]:
    """The paper's figures for a cell: metric (top1, top5) -> figure; none unless every parameter is the paper's.

    What an attack is called does not matter, nor does the order of an ensemble's members. The paper does
    not say what an ensemble takes the mean of, so `fusion` is not compared. Tables 3 and 5 share cells and
    differ there, each having its own 5,000 images, right under its own models: of several tables, the one
    whose models are most nearly the experiment's is taken. Rates of `of: all` are of other images than any of them.
    """
    if attack.later or experiment.subset.of == "all":
        return {}
    models = set(experiment.models)
    parts = tuple(getattr(attack, name) for name in PARTS)
    found = _paper().get((experiment.dataset.family, frozenset(source.split("+")), target, parts), [])

    def alike(figure: Reported) -> float:
        named = _paper_models()[figure.table]
        return len(named & models) / len(named | models)

    best: dict[str, Reported] = {}
    for metric, figure in found:
        if metric not in best or alike(figure) > alike(best[metric]):
            best[metric] = figure
    return best


@functools.cache
def _paper() -> dict[Key, list[tuple[str, Reported]]]:
    """Cell -> its figures and their metrics, in the order of the paper's tables."""
    attacks = {(row["table"], row["attack"]): row for row in _rows("paper_tables.csv")}
    figures: dict[Key, list[tuple[str, Reported]]] = {}
    for row in _rows("reported.csv"):
        about = attacks[row["experiment"], row["attack"]]
        assert (about["dataset"], about["metric"]) == (row["dataset"], row["metric"])
        parts = tuple(_value(about[name]) for name in PARTS)
        key = (row["dataset"], frozenset(row["source"].split("+")), row["target"], parts)
        figure = Reported(float(row["success_rate_percent"]), row["experiment"])
        figures.setdefault(key, []).append((row["metric"], figure))
    return figures


@functools.cache
def _paper_models() -> dict[str, set[str]]:
    """The paper's table -> its models."""
    models: dict[str, set[str]] = {}
    for row in _rows("reported.csv"):
        models.setdefault(row["experiment"], set()).update([*row["source"].split("+"), row["target"]])
    return models


def _rows(name: str) -> list[dict[str, str]]:
    text = (resources.files("crossfool") / "report" / "reported" / name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def _value(text: str) -> object:
    """A value of `paper_tables.csv`: a number, a word, or None where nothing stands."""
    try:
        return float(text) if text else None
    except ValueError:
        return text
