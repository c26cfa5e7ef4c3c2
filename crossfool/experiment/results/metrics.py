"""Read an experiment's results from its folder `metrics/`.

Imports no torch, pandas or matplotlib, so that commands which print results start at once.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossfool.errors import UserError
from crossfool.experiment import leftover_files
from crossfool.experiment.config import Experiment
from crossfool.storage.json_files import read_json
from crossfool.storage.tensors import TensorFile

RATE_KEYS = [f"{top}{end}" for top in ("top1", "top5") for end in ("", "_low", "_high")]
REQUIRED_KEYS = {
    "success": {*RATE_KEYS, "n", "whitebox"},
    "destruction": {"rate", "low", "high", "n"},
    "detail": {"gradients", "size", "steps", "seeds", "quantisation", "denominators"},
    "clean": {"top1", "top1_low", "top1_high", "top5", "n", "published_top1", "parameters"},
}


@dataclass(frozen=True)
class Results:
    """The content of an experiment's metrics files. Rates are percent.

    Attributes:
        experiment: Its params.yaml.
        n: The number of attacked images, which every success rate rests on.
        clean: Model -> its accuracy on the whole data set, and more; see `REQUIRED_KEYS`.
        success: (source, attack) -> target -> top1, top1_low, ..., n, whitebox; for the attacks of `attacks`.
        swept: Like `success`, for the grids' cells.
        destruction: (source, attack) -> target -> transform -> level -> rate, low, high, n.
        detail: (source, attack) -> sizes of perturbations, rates of snapshots and denominators, as
            `pipeline.evaluation.detail_metrics` computes them; a file is read when its cell is first asked for.
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
            has other models than those that are listed; or the subset that is there is of the other use.
    """
    _refuse_other_use(folder / "subset/images.safetensors", experiment)
    cells = [(source, attack) for source in experiment.sources for attack in experiment.rows]
    clean = {model: folder / "metrics/clean" / f"{model}.json" for model in experiment.models}
    success = {cell: folder / "metrics" / cell[0] / f"{cell[1]}.json" for cell in cells}
    transformed = {
        cell: path.with_suffix(".transform.json") for cell, path in success.items() if cell[1] in experiment.attacks
    }
    detailed = {cell: path.with_suffix(".detail.json") for cell, path in success.items()}
    leftover_files.refuse_leftovers(folder, experiment, "metrics")
    rates = {cell: _success(path, experiment.answering) for cell, path in success.items()}
    paths = {target["n"]: success[cell] for cell, targets in rates.items() for target in targets.values()}
    if len(paths) > 1:
        (n, path), (other_n, other_path) = list(paths.items())[:2]
        raise UserError(f"{path} has results on {n} images, but {other_path} on {other_n}; run `dvc repro`")
    return Results(
        experiment,
        next(iter(paths), 0),
        {model: _keyed(path, read_json(path), REQUIRED_KEYS["clean"]) for model, path in clean.items()},
        {cell: targets for cell, targets in rates.items() if cell[1] in experiment.attacks},
        {cell: targets for cell, targets in rates.items() if cell[1] not in experiment.attacks},
        {cell: _destruction(path, experiment) for cell, path in transformed.items()},
        _Details(detailed),
    )


def _refuse_other_use(subset: Path, experiment: Experiment) -> None:
    """Refuse metrics of tuning images under a params.yaml that uses scored ones, or the reverse.

    Raises:
        UserError: params.yaml has been changed since.
    """
    if not subset.exists():
        return  # a clone has metrics alone
    try:
        has_tuning = TensorFile(subset).metadata.get("use") == "tuning"
    except UserError:
        return  # a damaged file is reported by who needs it
    if has_tuning != experiment.subset.uses_tuning:
        present, wanted = ("tuning", "scored")[:: 1 if has_tuning else -1]
        raise UserError(f"{subset} holds {present} images, and params.yaml uses {wanted} ones; run `dvc repro`")


class _Details(Mapping[tuple[str, str], dict[str, Any]]):
    """The content of each cell's detail file, read once, when it is first asked for."""

    def __init__(self, paths: Mapping[tuple[str, str], Path]) -> None:
        self._paths, self._details = paths, dict[tuple[str, str], dict[str, Any]]()

    def __getitem__(self, cell: tuple[str, str]) -> dict[str, Any]:
        if cell not in self._details:
            path = self._paths[cell]
            self._details[cell] = _keyed(path, read_json(path), REQUIRED_KEYS["detail"])
        return self._details[cell]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


def _keyed(path: Path, value: Any, keys: set[str]) -> dict[str, Any]:
    """A value of a file, which must be an object that has the keys.

    Raises:
        UserError: it is none, or lacks some.
    """
    if not isinstance(value, dict) or not keys <= value.keys():
        lacking = sorted(keys - value.keys()) if isinstance(value, dict) else sorted(keys)
        raise UserError(
            f"{path} is damaged: expected the keys {', '.join(sorted(keys))}, found no {', '.join(lacking)}; "
            "delete it and run `dvc repro`"
        )
    return value


def _success(path: Path, models: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Target -> rates of a cell's file, in the order of params.yaml."""
    values = read_json(path)
    if not isinstance(values, dict) or set(values) != set(models):
        targets = ", ".join(values) if isinstance(values, dict) else type(values).__name__
        raise UserError(
            f"{path} does not match params.yaml: expected the targets {', '.join(models)}, found {targets}; "
            "delete the file and run `dvc repro`"
        )
    return {model: _keyed(path, values[model], REQUIRED_KEYS["success"]) for model in models}


def _destruction(path: Path, experiment: Experiment) -> dict[str, dict[str, dict[str, dict[str, Any]]]]:
    """Target -> transform -> level -> rates, for the transforms and levels of params.yaml, in its order."""
    values, transforms = read_json(path), experiment.transforms
    wanted = {name: [f"{level:g}" for level in levels] for name, levels in transforms.items() if levels}
    if not wanted:
        return {}
    try:
        return {
            model: {
                name: {
                    level: _keyed(path, values[model][name][level], REQUIRED_KEYS["destruction"]) for level in levels
                }
                for name, levels in wanted.items()
            }
            for model in experiment.answering
        }
    except (KeyError, TypeError):
        raise UserError(
            f"{path} does not match params.yaml: a model, transform or level that it lists is missing; "
            "delete the file and run `dvc repro`"
        ) from None
