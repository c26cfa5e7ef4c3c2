"""Experiments in small, for `crossfool smoke`: the same graph and cells, on images and models that come from PyPI.

An experiment's params.yaml is changed by rule, not by hand: its models are replaced by a few small ones, its images by
a handful, and long attacks are cut short. The results show that everything runs, and no more.
"""

import copy
import math
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossfool.attacks.config import Attack
from crossfool.attacks.part import BasePart
from crossfool.datasets.preparation import catalogue
from crossfool.errors import UserError
from crossfool.experiment import params_file

COPIED_PATHS = ("stages", "crossfool", "own", ".dvcignore")
DVC_CONFIG = (
    "[core]\n    no_scm = true\n    analytics = false\n    check_update = false\n[cache]\n    type = hardlink,copy\n"
)


@dataclass(frozen=True)
class StandIns:
    """Small data set and models that stand in for an experiment's.

    Attributes:
        dataset: The section `dataset`.
        models: The models that take the place of the experiment's, in turn.
        training: The section `training`.
        images: The number of attacked images.
        ids: The number of images in the data set, whose ids are 0 to one less.
        points: The number of points on each axis of a boundary.
    """

    dataset: Mapping[str, Any]
    models: tuple[str, ...]
    training: Mapping[str, Any] | None
    images: int
    ids: int
    points: int


PHOTOGRAPHS = StandIns(
    {"name": "imagenet-sample"}, ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"), None, 4, 20, 15
)
DIGITS = StandIns(
    {"name": "mnist"},
    ("fnn0", "fnn2", "fnn4"),
    {"epochs": 1, "batch_size": 256, "learning_rate": 0.02, "seed": 0},
    100,
    10_000,
    15,
)
# Family of an experiment's classes -> stand-ins.
STAND_INS = {"imagenet": PHOTOGRAPHS, "cifar10": DIGITS, "mnist": DIGITS}


def build_experiments(root: Path, folder: Path, pools: Mapping[str, StandIns]) -> list[Path]:
    """Make a DVC repository of all experiments in small.

    Args:
        root: The repository that has the experiments.
        folder: Where to make it; results that were computed there before stay, so that only changes run again.
        pools: Family of classes (mnist, cifar10, imagenet) -> stand-ins for a data set and its models.

    Returns:
        The experiments' folders, by name.

    Raises:
        UserError: `root` has no experiments, or `folder` holds files that are not of such a repository.
    """
    sources = sorted(root.glob("experiments/*/params.yaml"))
    if not sources or not (root / "stages").is_dir():
        raise UserError(f"{root.resolve()} holds no experiments; run the command in the root of the repository")
    config = folder / ".dvc/config"
    if not _is_writable(folder, config):
        raise UserError(
            f"{folder} exists and was not made by `crossfool smoke`, which would overwrite files in it; "
            "give an empty folder, or one that does not exist"
        )
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(DVC_CONFIG, encoding="utf-8")  # first: by it the folder is known as this command's
    for name in COPIED_PATHS:
        source, target = root / name, folder / name
        if source.is_dir():
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    experiments = []
    for source in sources:
        values = params_file.parse_lenient(params_file.read_text(source))
        experiment = folder / "experiments" / source.parent.name
        experiment.mkdir(parents=True, exist_ok=True)
        shutil.copy(source.parent / "dvc.yaml", experiment)
        small = shrink_params(values, pools[catalogue.from_row(values["dataset"]).family])
        (experiment / "params.yaml").write_text(params_file.to_yaml(small), encoding="utf-8")
        experiments.append(experiment)
    return experiments


def _is_writable(folder: Path, config: Path) -> bool:
    """Whether a folder may be written to: not there, empty, or made by `build_experiments`."""
    if not os.path.lexists(folder):
        return True
    if not folder.is_dir():
        return False
    return not any(folder.iterdir()) or (config.is_file() and config.read_bytes() == DVC_CONFIG.encode())


def shrink_params(values: Mapping[str, Any], pool: StandIns) -> dict[str, Any]:
    """A params.yaml in small: same attacks, transforms, grids and analyses by name, on the pool's models and images."""
    of_replaced = ("own_models", "defended")  # sections on models that others take the place of
    small = {key: value for key, value in copy.deepcopy(dict(values)).items() if key not in of_replaced}
    stand_in = {model: pool.models[number % len(pool.models)] for number, model in enumerate(values["models"])}
    small |= {
        "dataset": dict(pool.dataset),
        "models": list(pool.models),  # all, so that experiments share images, weights and clean predictions
        "targets": "all" if values["targets"] == "all" else _distinct(stand_in[model] for model in values["targets"]),
        "weights": {},
        "training": dict(pool.training) if pool.training else None,
        "subset": _subset(values["subset"], pool),
        "lpips": values["lpips"] and catalogue.from_row(pool.dataset).family != "mnist",
        "compute": {**values["compute"], "chunk": min(values["compute"]["chunk"], pool.images)},
        "sources": _sources(values["sources"], stand_in),
        "attacks": _at_one_cost(values["attacks"], {name: _attack(row) for name, row in values["attacks"].items()}),
        "grids": {name: _grid(grid) for name, grid in values["grids"].items()},
        "transforms": {name: _ends(levels) for name, levels in values["transforms"].items()},
        "scatter": {**values["scatter"], "same_family": True},
    }
    for row in small["similarity"].values():
        source, target = stand_in[row["source"]], stand_in[row["target"]]
        if source == target:  # a model's gradient is trivially like itself: take another model
            target = pool.models[(pool.models.index(source) + 1) % len(pool.models)]
        row |= {"source": source, "target": target, "images": pool.images}
        row["samples"] = [1, 2, 4]
    for row in small["boundary"].values():
        row |= {"source": stand_in[row["source"]], "targets": _distinct(stand_in[model] for model in row["targets"])}
        row |= {"image": row["image"] % pool.ids, "samples": 8, "points": pool.points}
    for row in small["saliency"].values():
        row |= {"model": stand_in[row["model"]], "images": [id % pool.ids for id in row["images"]], "samples": [1, 4]}
    return small


def _subset(section: Mapping[str, Any], pool: StandIns) -> dict[str, Any]:
    """The section `subset` with as many images as the pool attacks, and as many tuning images where it has any."""
    tuning = {"tuning": pool.images} if section.get("tuning") else {}
    targets = {"targets": "random"} if section.get("targets") == "given" else {}  # stand-ins give no target labels
    return {**section, "images": pool.images, **tuning, **targets}


def _sources(sources: Iterable[str], stand_in: Mapping[str, str]) -> list[str]:
    """Sources with stand-ins for their members: two an ensemble, so that targets outside it are left."""
    ensembles = (sorted(_distinct(stand_in[member] for member in source.split("+"))[:2]) for source in sources)
    return _distinct("+".join(members) for members in ensembles)


def _attack(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `attacks` with few steps and recorded steps, and as few samples, scales, ... as its parts allow."""
    small = {**row, "steps": _steps(row["steps"])} if "steps" in row else dict(row)  # some methods have no steps
    limits = {key: limit for part in _parts(row) for key, limit in part.smoke.items()}
    small |= {key: min(row[key], limit) for key, limit in limits.items() if key in row}
    if "step_size" in row and small["steps"] * row["step_size"] < 0.5:  # would round to no change
        small["step_size"] = row["steps"] * row["step_size"] / small["steps"]
    recorded = [step for step in row.get("record_steps", ()) if step < small["steps"]]
    return {key: value for key, value in small.items() if key != "record_steps"} | (
        {"record_steps": recorded} if recorded else {}
    )


def _parts(row: Mapping[str, Any]) -> Iterable[BasePart]:
    """The parts of a row; none of a row with a method."""
    return () if row.get("method") is not None else Attack.model_validate(row).parts


def _at_one_cost(
    rows: Mapping[str, Mapping[str, Any]], small: Mapping[str, Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    """Have attacks that cost the same do so in small: the cheaper get more steps. Other libraries' stay as they are.

    Args:
        rows: The experiment's attacks.
        small: The same attacks in small.
    """
    balanced = dict(small)
    costs: dict[int, list[str]] = {}
    for name, row in rows.items():
        if row.get("method") is None:
            costs.setdefault(Attack.model_validate(row).gradient_evaluations_per_seed, []).append(name)
    for names in costs.values():
        attacks = {name: Attack.model_validate(balanced[name]) for name in names}
        multiple = math.lcm(*(row.gradient_evaluations_per_step for row in attacks.values()))
        cost = multiple * math.ceil(max(row.gradient_evaluations_per_seed for row in attacks.values()) / multiple)
        balanced |= {
            name: {**balanced[name], "steps": cost // row.gradient_evaluations_per_step}
            for name, row in attacks.items()
        }
    return balanced


def _steps(steps: int) -> int:
    return steps if steps < 2 else 2 if steps <= 10 else 4


def _grid(grid: Mapping[str, Any]) -> dict[str, Any]:
    """A grid with the ends of its axes, and few steps and samples."""
    small = {**grid, **{axis: _ends(grid[axis]) for axis in ("epsilon", "steps", "step_size")}}
    small["steps"] = _distinct(_steps(steps) for steps in small["steps"])
    inner = grid["sigma"][len(grid["sigma"]) // 2 :][:1]
    small["sigma"] = _distinct([*grid["sigma"][:1], *inner, *grid["sigma"][-1:]])
    plain, smoothed = [m for m in grid["samples"] if not m], [m for m in grid["samples"] if m]
    small["samples"] = plain + [1, 2][: len(smoothed)]
    return small


def _ends(values: Sequence[Any]) -> list[Any]:
    return [values[0], values[-1]] if len(values) > 1 else list(values)


def _distinct(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))
