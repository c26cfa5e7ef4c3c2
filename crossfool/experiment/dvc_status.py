"""Which of an experiment's stages `dvc repro` will run, as DVC's status tells."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from crossfool.experiment import dvc_records


@dataclass(frozen=True)
class Stage:
    """One of an experiment's stages, as DVC sees it.

    Attributes:
        kind: Its name in dvc.yaml: attack, evaluate, ...
        outs: Its outputs, relative to the experiment's folder.
        runs: Whether `dvc repro` runs it: it, or something that it depends on, changed or was never run.
        maybe: Whether it runs only if the subset comes out as another.
        absent: Whether it is up to date, but its files, or those it depends on, are not here.
    """

    kind: str
    outs: tuple[str, ...]
    runs: bool
    maybe: bool
    absent: bool


# --- DVC --------------------------------------------------------------------------------------------


def status(folder: Path) -> tuple[Stage, ...] | None:
    """The experiment's stages and what becomes of each; None where the folder is in no DVC repository.

    Raises:
        UserError: another DVC command is running, or DVC cannot tell.
    """
    with dvc_records.records(folder) as repo:
        if repo is None:
            return None
        own = os.path.join(folder, "dvc.yaml")
        with repo.lock:
            return tuple(_closed(folder.resolve(), [(stage, stage.status()) for stage in repo.stage.load_all(own)]))


def _closed(folder: Path, found: list[tuple[Any, Mapping[str, Any]]]) -> Iterator[Stage]:
    """Stages with what their changes bring about: who depends on an output of a stage that runs, runs too.

    Three kinds of outputs often come out as they were, and then nothing runs for them: `check`'s; a source's
    fingerprint, unless a member's weights change; the subset, unless its section or the images change.
    """
    made = {stage.name: [_relative(out.fs_path, folder) for out in stage.outs] for stage, _ in found}
    users: dict[str, set[str]] = {}
    for stage, _ in found:
        for dep in stage.deps:
            users.setdefault(_relative(dep.fs_path, folder), set()).add(stage.name)
    said = {stage.name: dict(_leaves(words)) for stage, words in found}
    changed = {name for name, words in said.items() if set(words.values()) - {"deleted"}}
    redrawn = any(key == "subset" or key.startswith("subset.") for key in said.get("select", {}))

    def passes(name: str, runs: set[str], *, subset: bool) -> bool:
        kind, _, of = name.partition("@")
        if kind == "source":
            return name in changed or any(f"train@{member}" in runs for member in of.split("+"))
        return kind != "check" and (kind != "select" or subset or redrawn or "prepare" in runs)

    def spread(*, subset: bool) -> set[str]:
        runs, new = set(changed), set(changed)
        while new:
            outs = {out for name in runs if passes(name, runs, subset=subset) for out in made[name]}
            places = {str(place) for out in outs for place in (PurePosixPath(out), *PurePosixPath(out).parents)}
            new = set().union(*(users.get(place, set()) for place in places)) - runs
            runs |= new
        return runs

    runs, most = spread(subset=False), spread(subset=True)
    for name, outs in made.items():
        absent = name not in most and "deleted" in said[name].values()
        yield Stage(name.partition("@")[0], tuple(outs), name in runs, name in most - runs, absent)


def _relative(path: str, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()


def _leaves(said: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """What DVC's nested status names (files, keys of params) and what it says of each: modified, new, deleted, ..."""
    if isinstance(said, Mapping):
        for name, value in said.items():
            yield from _leaves(value, name)
    elif isinstance(said, (list, tuple)):
        for value in said:
            yield from _leaves(value, key)
    else:
        yield key, str(said)
