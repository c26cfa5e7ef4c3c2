"""An experiment's results as they lie in `metrics/`, and the paper's figures that belong to them.

Imports no torch, pandas or matplotlib: what prints results must start at once.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossfool.errors import UserError
from crossfool.experiment import leftover_files
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
    leftover_files.refuse(folder, experiment, "metrics")
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
