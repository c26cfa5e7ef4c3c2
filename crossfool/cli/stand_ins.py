"""Every experiment in small: the same graph and cells, on images and models that come from PyPI.

An experiment's params.yaml is changed by rule, not by hand: its models are replaced by a few small ones, its
images by a handful, and long attacks are cut short. What comes out says that everything runs, and no more.
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
from crossfool.datasets.config import Dataset
from crossfool.errors import UserError
from crossfool.experiment import params_file

COPIED = ("stages", "crossfool", ".dvcignore")
CONFIG = (
    "[core]\n    no_scm = true\n    analytics = false\n    check_update = false\n[cache]\n    type = hardlink,copy\n"
)


@dataclass(frozen=True)
class Pool:
    """What stands in.

    Attributes:
        dataset: Section `dataset`.
        models: The models that take the place of the experiment's, in turn.
        training: Section `training`.
        images: Attacked, and at least as many as the data set has ids.
        ids: Images of the data set.
        points: On each axis of a boundary.
    """

    dataset: Mapping[str, Any]
    models: tuple[str, ...]
    training: Mapping[str, Any] | None
    images: int
    ids: int
    points: int


PHOTOGRAPHS = Pool(
    {"name": "imagenet-sample"}, ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"), None, 4, 20, 15
)
DIGITS = Pool(
    {"name": "mnist"},
    ("fnn0", "fnn2", "fnn4"),
    {"epochs": 1, "batch_size": 256, "learning_rate": 0.02, "seed": 0},
    100,
    10_000,
    15,
)
POOLS = {  # by an experiment's data set
    **dict.fromkeys(("imagenet", "imagenet-sample"), PHOTOGRAPHS),
    **dict.fromkeys(("cifar10", "mnist"), DIGITS),
}


def build(root: Path, folder: Path, pools: Mapping[str, Pool]) -> list[Path]:
    """Make a DVC repository of all experiments in small.

    Args:
        root: The repository whose experiments are meant.
        folder: Where to make it; what was computed there before stays, so that only what changed runs again.
        pools: Data set -> what stands in for it and its models.

    Returns:
        The experiments' folders, by name.

    Raises:
        UserError: `root` has no experiments, or `folder` holds files that are not of such a repository.
    """
    sources = sorted(root.glob("experiments/*/params.yaml"))
    if not sources or not (root / "stages").is_dir():
        raise UserError(f"{root.resolve()} holds no experiments; run the command in the root of the repository")
    config = folder / ".dvc/config"
    if not _own(folder, config):
        raise UserError(
            f"{folder} is there and was not made by `crossfool smoke`, which would overwrite files in it; "
            "give an empty folder, or one that is not there"
        )
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(CONFIG, encoding="utf-8")  # first: it says whose the folder is
    for name in COPIED:
        source, target = root / name, folder / name
        if source.is_dir():
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    made = []
    for source in sources:
        values = params_file.lenient(params_file.read(source))
        own = folder / "experiments" / source.parent.name
        own.mkdir(parents=True, exist_ok=True)
        shutil.copy(source.parent / "dvc.yaml", own)
        small = shrunk(values, pools[values["dataset"].get("classes") or values["dataset"]["name"]])
        (own / "params.yaml").write_text(params_file.written(small), encoding="utf-8")
        made.append(own)
    return made


def _own(folder: Path, config: Path) -> bool:
    """Whether a folder may be written to: not there, empty, or made by `build`."""
    if not os.path.lexists(folder):
        return True
    if not folder.is_dir():
        return False
    return not any(folder.iterdir()) or (config.is_file() and config.read_bytes() == CONFIG.encode())


def shrunk(values: Mapping[str, Any], pool: Pool) -> dict[str, Any]:
    """A params.yaml in small: same attacks, transforms, grids and analyses by name, on the pool's models and images."""
    small = copy.deepcopy(dict(values))
    place = {model: pool.models[number % len(pool.models)] for number, model in enumerate(values["models"])}
    small |= {
        "dataset": dict(pool.dataset),
        "models": list(pool.models),  # all, so that experiments share images, weights and clean answers
        "targets": "all" if values["targets"] == "all" else _distinct(place[model] for model in values["targets"]),
        "weights": {},
        "training": dict(pool.training) if pool.training else None,
        "subset": {**values["subset"], "images": pool.images},
        "lpips": values["lpips"] and Dataset.model_validate(pool.dataset).family != "mnist",
        "compute": {**values["compute"], "chunk": min(values["compute"]["chunk"], pool.images)},
        "sources": _sources(values["sources"], place),
        "attacks": _at_one_cost(values["attacks"], {name: _attack(row) for name, row in values["attacks"].items()}),
        "grids": {name: _grid(grid) for name, grid in values["grids"].items()},
        "transforms": {name: _ends(levels) for name, levels in values["transforms"].items()},
        "scatter": {**values["scatter"], "same_family": True},
    }
    for row in small["similarity"].values():
        source, target = place[row["source"]], place[row["target"]]
        if source == target:  # a model's gradient is its own: take another
            target = pool.models[(pool.models.index(source) + 1) % len(pool.models)]
        row |= {"source": source, "target": target, "images": pool.images}
        row["samples"] = [1, 2, 4]
    for row in small["boundary"].values():
        row |= {"source": place[row["source"]], "targets": _distinct(place[model] for model in row["targets"])}
        row |= {"image": row["image"] % pool.ids, "samples": 8, "points": pool.points}
    for row in small["saliency"].values():
        row |= {"model": place[row["model"]], "images": [id % pool.ids for id in row["images"]], "samples": [1, 4]}
    return small


def _sources(sources: Iterable[str], place: Mapping[str, str]) -> list[str]:
    """Sources with stand-ins for their members: two an ensemble, so that targets outside it are left."""
    members = (sorted(_distinct(place[member] for member in source.split("+"))[:2]) for source in sources)
    return _distinct("+".join(some) for some in members)


def _attack(row: Mapping[str, Any]) -> dict[str, Any]:
    small = {**row, "steps": _steps(row["steps"])} if "steps" in row else dict(row)  # a library's own one step
    alone = row.get("gradient") in ("varied", "relevant")  # two gradients a step: its own, and a neighbour's
    cut = {"samples": 1 if alone else 2, "scales": 2}
    small |= {key: min(row[key], value) for key, value in cut.items() if key in row}
    recorded = [step for step in row.get("record_steps", ()) if step < small["steps"]]
    return {key: value for key, value in small.items() if key != "record_steps"} | (
        {"record_steps": recorded} if recorded else {}
    )


def _at_one_cost(
    rows: Mapping[str, Mapping[str, Any]], small: Mapping[str, Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    """Attacks that cost the same do so in small: the cheaper get more steps. A library's are left as they are."""
    made = dict(small)
    costs: dict[int, list[str]] = {}
    for name, row in rows.items():
        if row.get("method") is None:
            costs.setdefault(Attack.model_validate(row).gradients, []).append(name)
    for names in costs.values():
        known = {name: Attack.model_validate(made[name]) for name in names}
        each = math.lcm(*(row.copies for row in known.values()))
        cost = each * math.ceil(max(row.gradients for row in known.values()) / each)
        made |= {name: {**made[name], "steps": cost // row.copies} for name, row in known.items()}
    return made


def _steps(steps: int) -> int:
    return steps if steps < 2 else 2 if steps <= 10 else 4


def _grid(grid: Mapping[str, Any]) -> dict[str, Any]:
    small = {**grid, **{axis: _ends(grid[axis]) for axis in ("epsilon", "steps", "step_size")}}
    small["steps"] = _distinct(_steps(steps) for steps in small["steps"])
    inner = grid["sigma"][len(grid["sigma"]) // 2 :][:1]
    small["sigma"] = _distinct([*grid["sigma"][:1], *inner, *grid["sigma"][-1:]])
    plain, drawn = [m for m in grid["samples"] if not m], [m for m in grid["samples"] if m]
    small["samples"] = plain + [1, 2][: len(drawn)]
    return small


def _ends(values: Sequence[Any]) -> list[Any]:
    return [values[0], values[-1]] if len(values) > 1 else list(values)


def _distinct(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))
