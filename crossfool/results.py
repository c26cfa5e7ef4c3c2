"""An experiment's results as they lie in `metrics/`, and the paper's figures that belong to them.

Imports no torch, pandas or matplotlib: what prints results must start at once.
"""

import csv
import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from crossfool import leftovers
from crossfool.attacks.config import Attack
from crossfool.errors import UserError
from crossfool.experiment.config import Experiment
from crossfool.storage.json_files import read_json

RATES = [f"{top}{end}" for top in ("top1", "top5") for end in ("", "_low", "_high")]
KEYS = {
    "success": {*RATES, "n", "whitebox"},
    "destruction": {"rate", "low", "high", "n"},
    "detail": {"gradients", "size", "steps", "seeds", "quantisation", "denominators"},
    "clean": {"top1", "top1_low", "top1_high", "top5", "n", "published_top1", "parameters"},
}


@dataclass(frozen=True)
class Results:
    """What the metrics files of an experiment say. Rates are percent.

    Attributes:
        experiment: Its params.yaml.
        n: Attacked images, which every success rate rests on.
        clean: Model -> its accuracy on the whole data set.
        success: (source, attack) -> target -> top1, top1_low, ..., n, whitebox.
        swept: The same of the grids' cells.
        destruction: (source, attack) -> target -> transform -> level -> rate, low, high, n.
        detail: (source, attack) -> sizes, takes and denominators, as `details.detail` makes them; read when asked for.
    """

    experiment: Experiment
    n: int
    clean: dict[str, dict[str, Any]]
    success: dict[tuple[str, str], dict[str, dict[str, Any]]]
    swept: dict[tuple[str, str], dict[str, dict[str, Any]]]
    destruction: dict[tuple[str, str], dict[str, dict[str, dict[str, dict[str, Any]]]]]
    detail: Mapping[tuple[str, str], dict[str, Any]]


def load_metrics(folder: Path, experiment: Experiment) -> Results:
    """Read `metrics/` of an experiment's folder.

    Raises:
        UserError: a file is missing, is left over from a model or attack that is not listed any more, or
            is not of the models that are listed.
    """
    cells = [(source, attack) for source in experiment.sources for attack in experiment.rows]
    clean = {model: folder / "metrics/clean" / f"{model}.json" for model in experiment.models}
    success = {cell: folder / "metrics" / cell[0] / f"{cell[1]}.json" for cell in cells}
    transformed = {
        cell: path.with_suffix(".transform.json") for cell, path in success.items() if cell[1] in experiment.attacks
    }
    detailed = {cell: path.with_suffix(".detail.json") for cell, path in success.items()}
    leftovers.refuse(folder, experiment, "metrics")
    rates = {cell: _success(path, experiment.answering) for cell, path in success.items()}
    counts = {one["n"]: success[cell] for cell, targets in rates.items() for one in targets.values()}
    if len(counts) > 1:
        (few, one), (many, other) = list(counts.items())[:2]
        raise UserError(f"{one} rests on {few} images and {other} on {many}; run `dvc repro`")
    return Results(
        experiment,
        next(iter(counts), 0),
        {model: _keyed(path, read_json(path), KEYS["clean"]) for model, path in clean.items()},
        {cell: one for cell, one in rates.items() if cell[1] in experiment.attacks},
        {cell: one for cell, one in rates.items() if cell[1] not in experiment.attacks},
        {cell: _destruction(path, experiment) for cell, path in transformed.items()},
        _Details(detailed),
    )


class _Details(Mapping[tuple[str, str], dict[str, Any]]):
    """The content of each cell's detail file, read once, when it is first asked for."""

    def __init__(self, paths: Mapping[tuple[str, str], Path]) -> None:
        self._paths, self._found = paths, dict[tuple[str, str], dict[str, Any]]()

    def __getitem__(self, cell: tuple[str, str]) -> dict[str, Any]:
        if cell not in self._found:
            path = self._paths[cell]
            self._found[cell] = _keyed(path, read_json(path), KEYS["detail"])
        return self._found[cell]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


def _keyed(path: Path, value: Any, keys: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict) or not keys <= value.keys():
        lacking = sorted(keys - value.keys()) if isinstance(value, dict) else sorted(keys)
        raise UserError(f"{path}: lacks {', '.join(lacking)}; delete it and run `dvc repro`")
    return value


def _success(path: Path, models: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Target -> rates, in the order of params.yaml."""
    values = read_json(path)
    if not isinstance(values, dict) or set(values) != set(models):
        found = ", ".join(values) if isinstance(values, dict) else type(values).__name__
        raise UserError(f"{path}: targets are {found}, expected {', '.join(models)}; delete it and run `dvc repro`")
    return {model: _keyed(path, values[model], KEYS["success"]) for model in models}


def _destruction(path: Path, experiment: Experiment) -> dict[str, dict[str, dict[str, dict[str, Any]]]]:
    """Target -> transform -> level -> rates; all of params.yaml's, in its order."""
    values, levels = read_json(path), experiment.transforms
    wanted = {name: [f"{level:g}" for level in some] for name, some in levels.items() if some}
    if not wanted:
        return {}
    try:
        return {
            model: {
                name: {level: _keyed(path, values[model][name][level], KEYS["destruction"]) for level in some}
                for name, some in wanted.items()
            }
            for model in experiment.answering
        }
    except (KeyError, TypeError):
        raise UserError(
            f"{path}: lacks a model, transform or level that params.yaml lists; delete it and run `dvc repro`"
        ) from None


def wilson_ends(percent: float, n: int) -> tuple[float, float]:
    """The Wilson 95% interval of a share of n images, in percent."""
    from crossfool.stats.rates import wilson

    low, high = wilson(round(percent * n / 100), n)
    return 100 * low, 100 * high


# --- in words ---------------------------------------------------------------------------------------


def wrapped(model: str) -> str:
    """A model's name as a column's head: over two lines where it is long."""
    return model.replace("_", "_\n", 1) if len(model) > 14 else model


def words(attack: Attack) -> str:
    """An attack's parameters, for a title."""
    parts: list[str] = [attack.objective]
    if attack.method is not None:
        parts.append(attack.method)
        parts += [f"{key} {value}" for key, value in (attack.options or {}).items()]
    elif attack.gradient == "smoothed":
        noise = f"{attack.noise} " if attack.noise not in (None, "gaussian") else ""
        parts.append(f"smoothed gradient of m = {attack.samples} {noise}samples with σ = {attack.sigma:g}")
    elif attack.gradient in ("varied", "relevant"):
        parts.append(f"{attack.gradient} gradient of {attack.samples} neighbours within {attack.radius:g}")
    else:
        parts.append(f"{attack.gradient} gradient")
    if attack.scales is not None:
        parts.append(f"{attack.scales} scales")
    if attack.diversity is not None:
        parts.append(f"diverse inputs (p = {attack.diversity:g}, sides from {attack.smallest:g})")
    if attack.kernel is not None:
        parts.append(f"kernel of {attack.kernel} × {attack.kernel}")
    if attack.decay is not None:
        parts.append(f"{'Nesterov ' if attack.update == 'nesterov' else ''}momentum μ = {attack.decay:g}")
    steps = "one step" if attack.steps == 1 else f"T = {attack.steps} steps"
    parts += [f"{steps} of α = {attack.step_size:g}", f"ε = {attack.epsilon:g}"]
    if attack.fusion != "probabilities":
        parts.append(f"ensembles by mean {attack.fusion}")
    return ", ".join(parts)


def chosen(results: Results) -> str:
    """How many images the rates rest on, and how they were chosen."""
    experiment, n = results.experiment, results.n
    images = "1 image" if n == 1 else f"{n:,} images"
    models = "the model classifies" if len(experiment.models) == 1 else f"all {len(experiment.models)} models classify"
    every, seed = experiment.subset.of == "all", experiment.subset.seed
    if experiment.subset.images == "all":
        of = "every one, whether models are right on it or not" if every else f"every one that {models} correctly"
        return f"{images} of {experiment.dataset.name}: {of}"
    of = "all, whether models are right on them or not" if every else f"those that {models} correctly"
    return f"{images} of {experiment.dataset.name}, drawn at random (seed {seed}) from {of}"


def uncounted(experiment: Experiment) -> str:
    """Why ranks and claims are missing where no attacked image is right under all models, as a sentence."""
    many = len(experiment.models)
    models = "the model" if many == 1 else f"all {many} models"
    return (
        f"No image is right under {models}: ranks, paired tests, claims and pooled destruction rates count only such "
        "images and are left out; success rates are of all attacked images."
    )


def compared(results: Results) -> int:
    """How many of the attacked images all models get right, which are those that ranks and claims count."""
    if results.experiment.subset.of != "all":
        return results.n
    for cell, targets in results.success.items():
        ways = results.detail[cell]["denominators"]
        for target in targets:
            if target in ways:
                rates = ways[target]["all_right"]
                return int(rates["n"]) if rates else 0
    return results.n


def denominator(experiment: Experiment) -> str:
    """Which errors rates count, as a sentence's end."""
    if experiment.subset.of == "all":
        return (
            "rates count errors that no attack made; the table of denominators sets clean errors beside them, "
            "and ranks and claims count only images that every model gets right"
        )
    return "every model is right on every clean one, so that no rate counts an error that no attack made"


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
    text = (resources.files("crossfool") / "data" / name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def _value(text: str) -> object:
    """A value of `paper_tables.csv`: a number, a word, or None where nothing stands."""
    try:
        return float(text) if text else None
    except ValueError:
        return text
