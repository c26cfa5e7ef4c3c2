"""Stages of an experiment that `dvc repro` will run, each with its reason, by DVC's status and today's plans.

DVC does not see past a plan that has yet to run. So plans are compiled here, and compared with the plan files that
dvc.lock says the stages ran with.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from crossfool.experiment import dvc_records, plan_files
from crossfool.experiment.config import Experiment
from crossfool.storage.hashing import md5_of_bytes

PLAN = plan_files.FOLDER.name
NEVER_RAN = "it has not run yet"
NOT_IN_CACHE = "not in cache"  # DVC's status of an output that has to be made again


@dataclass(frozen=True)
class Stage:
    """A stage of an experiment, and whether it will run.

    Attributes:
        name: The stage's name as DVC prints it: attack@source-attack, evaluate@..., ...
        outs: The stage's outputs, relative to the experiment's folder.
        runs: Whether `dvc repro` runs the stage: it, or something that it depends on, changed or was never run.
        maybe: Whether the stage runs only if the subset comes out as another.
        absent: Whether the stage is up to date, but its files, or those it depends on, are not here.
        why: Reason why the stage runs, or may run; "" where it does not.
    """

    name: str
    outs: tuple[str, ...]
    runs: bool
    maybe: bool
    absent: bool
    why: str = ""

    @property
    def kind(self) -> str:
        """The stage's name in dvc.yaml: attack, evaluate, ..."""
        return self.name.partition("@")[0]


def stage_statuses(folder: Path, experiment: Experiment) -> tuple[Stage, ...] | None:
    """The stages of an experiment, and which will run; None where the folder is not in a DVC repository.

    Raises:
        UserError: another DVC command is running, or DVC cannot tell.
    """
    with dvc_records.open_repository(folder) as repo:
        if repo is None:
            return None
        graph, place = os.path.join(folder, "dvc.yaml"), folder.resolve()
        plans = {f"{PLAN}/{name}.json": text for name, text in plan_files.plan_texts(experiment).items()}
        with repo.lock:
            statuses = [
                (stage, _changes(stage, plans, place, repo.cache.local)) for stage in repo.stage.load_all(graph)
            ]
            return tuple(_closed(place, statuses))


def _changes(stage: Any, plans: Mapping[str, str], folder: Path, cache: Any) -> dict[str, str]:
    """List the changes since a stage ran: file, key of params.yaml or plan -> the change.

    Args:
        stage: DVC's stage.
        plans: Path of each plan file -> its content, if `plan` ran now.
        folder: The experiment's, resolved.
        cache: DVC's local cache, which keeps the plan files that stages ran with.
    """
    changes = {key: change for key, change in _leaves(stage.status()) if not key.startswith(f"{PLAN}/")}
    for dep in stage.deps:
        path = _relative(dep.fs_path, folder)
        if path not in plans:
            continue
        recorded = dep.hash_info.value if dep.hash_info else None
        if recorded is None:
            changes[path] = "new"
        elif recorded != md5_of_bytes(plans[path].encode()):
            changes[path] = _plan_change(cache.oid_to_path(recorded), plans[path])
    return changes


def _plan_change(kept: str, present: str) -> str:
    """Say how a plan differs from the one that a stage ran with, if DVC's cache has that one."""
    try:
        planned = json.loads(Path(kept).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "its values or code changed (the plan that it ran with is not here)"
    return next(plan_files.differences(planned, json.loads(present)), "its values or code changed")


def _closed(folder: Path, statuses: Sequence[tuple[Any, Mapping[str, str]]]) -> Iterator[Stage]:
    """All stages, of which those run, too, that depend on an output of a stage that runs.

    Three kinds of outputs often come out as they were, and then nothing runs for them: plans, whose content is known
    before they are written; a source's weights record, unless a member's weights change; the subset, unless its
    section or the images change.

    Args:
        folder: The experiment's, resolved.
        statuses: DVC's stages, and what changed for each.
    """
    outputs = {stage.name: [_relative(out.fs_path, folder) for out in stage.outs] for stage, _ in statuses}
    readers: dict[str, set[str]] = {}  # of a path
    for stage, _ in statuses:
        for dep in stage.deps:
            readers.setdefault(_relative(dep.fs_path, folder), set()).add(stage.name)
    users = {  # of a stage's outputs, or of folders that they lie in
        name: set().union(*(readers.get(str(place), set()) for out in outs for place in _with_parents(out)))
        for name, outs in outputs.items()
    }
    changes = {stage.name: change for stage, change in statuses}
    changed = {name for name, kinds in changes.items() if set(kinds.values()) - {"deleted"}}
    redrawn = any(key == "subset" or key.startswith("subset.") for key in changes.get("select", {}))
    reasons = {name: _reason(changes[name]) for name in changed}

    def passes_on(name: str, runs: set[str], *, subset: bool) -> bool:
        """Whether a stage that runs makes those run that depend on its outputs."""
        kind, _, source = name.partition("@")
        if kind == "source":
            return name in changed or any(f"train@{member}" in runs for member in source.split("+"))
        return kind != "plan" and (kind != "select" or subset or redrawn or "prepare" in runs)

    def spread(*, subset: bool) -> set[str]:
        """The stages that run; `subset` says whether the attacked images change."""
        runs = set(changed)
        while True:
            sources = [name for name in sorted(runs) if passes_on(name, runs, subset=subset)]
            new = {user: name.partition("@")[0] for name in sources for user in users[name] - runs}
            if not new:
                return runs
            for user, kind in new.items():
                reasons.setdefault(user, f"after {kind}")
            runs |= new.keys()

    runs, most = spread(subset=False), spread(subset=True)
    for name, outs in outputs.items():
        absent = name not in most and "deleted" in changes[name].values()
        why = reasons.get(name, "") if name in most else ""
        yield Stage(name, tuple(outs), name in runs, name in most - runs, absent, why)


def _reason(changes: Mapping[str, str]) -> str:
    """The reason why a stage runs; a changed plan, which names values and modules, goes before other reasons."""
    kinds = {key: change for key, change in changes.items() if change != "deleted"}
    plan = next((key for key in kinds if key.startswith(f"{PLAN}/")), None)
    if plan is not None and kinds[plan] != "new":
        return kinds[plan]
    if set(kinds.values()) == {"new"}:
        return NEVER_RAN
    if set(kinds.values()) == {NOT_IN_CACHE}:
        return "DVC's cache does not have its files"
    key, change = next((key, change) for key, change in kinds.items() if change != "new")
    return f"{key} changed" if change == "modified" else f"{key}: {change}"


def _with_parents(path: str) -> tuple[PurePosixPath, ...]:
    return PurePosixPath(path), *PurePosixPath(path).parents


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
