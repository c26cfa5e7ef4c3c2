"""Which stages of an experiment `dvc repro` will run, by DVC's status."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from crossfool.experiment import dvc_records


@dataclass(frozen=True)
class Stage:
    """A stage of an experiment, and whether it will run.

    Attributes:
        kind: The stage's name in dvc.yaml: attack, evaluate, ...
        outs: The stage's outputs, relative to the experiment's folder.
        runs: Whether `dvc repro` runs the stage: it, or something that it depends on, changed or was never run.
        maybe: Whether the stage runs only if the subset comes out as another.
        absent: Whether the stage is up to date, but its files, or those it depends on, are not here.
    """

    kind: str
    outs: tuple[str, ...]
    runs: bool
    maybe: bool
    absent: bool


def stage_statuses(folder: Path) -> tuple[Stage, ...] | None:
    """The stages of an experiment, and which will run; None where the folder is in no DVC repository.

    Raises:
        UserError: another DVC command is running, or DVC cannot tell.
    """
    with dvc_records.open_repository(folder) as repo:
        if repo is None:
            return None
        graph = os.path.join(folder, "dvc.yaml")
        with repo.lock:
            return tuple(_closed(folder.resolve(), [(stage, stage.status()) for stage in repo.stage.load_all(graph)]))


def _closed(folder: Path, statuses: list[tuple[Any, Mapping[str, Any]]]) -> Iterator[Stage]:
    """All stages, of which those run, too, that depend on an output of a stage that runs.

    Three kinds of outputs often come out as they were, and then nothing runs for them: `check`'s; a source's
    weights record, unless a member's weights change; the subset, unless its section or the images change.

    Args:
        folder: The experiment's, resolved.
        statuses: DVC's stages, and the status of each.
    """
    outputs = {stage.name: [_relative(out.fs_path, folder) for out in stage.outs] for stage, _ in statuses}
    users: dict[str, set[str]] = {}
    for stage, _ in statuses:
        for dep in stage.deps:
            users.setdefault(_relative(dep.fs_path, folder), set()).add(stage.name)
    changes = {stage.name: dict(_leaves(status)) for stage, status in statuses}
    changed = {name for name, kinds in changes.items() if set(kinds.values()) - {"deleted"}}
    redrawn = any(key == "subset" or key.startswith("subset.") for key in changes.get("select", {}))

    def passes_on(name: str, runs: set[str], *, subset: bool) -> bool:
        """Whether a stage that runs makes those run that depend on its outputs."""
        kind, _, source = name.partition("@")
        if kind == "source":
            return name in changed or any(f"train@{member}" in runs for member in source.split("+"))
        return kind != "check" and (kind != "select" or subset or redrawn or "prepare" in runs)

    def spread(*, subset: bool) -> set[str]:
        """The stages that run; `subset` tells whether the subset comes out as another."""
        runs, new = set(changed), set(changed)
        while new:
            outs = {out for name in runs if passes_on(name, runs, subset=subset) for out in outputs[name]}
            places = {str(place) for out in outs for place in (PurePosixPath(out), *PurePosixPath(out).parents)}
            new = set().union(*(users.get(place, set()) for place in places)) - runs
            runs |= new
        return runs

    runs, most = spread(subset=False), spread(subset=True)
    for name, outs in outputs.items():
        absent = name not in most and "deleted" in changes[name].values()
        yield Stage(name.partition("@")[0], tuple(outs), name in runs, name in most - runs, absent)


def _relative(path: str, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()


def _leaves(status: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of DVC's nested status: a file or key of params, and its change (modified, new, deleted, ...)."""
    if isinstance(status, Mapping):
        for name, value in status.items():
            yield from _leaves(value, name)
    elif isinstance(status, (list, tuple)):
        for value in status:
            yield from _leaves(value, key)
    else:
        yield key, str(status)
