"""An experiment's predictions as they are here, or as a git revision's dvc.lock names them in DVC's cache."""

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from crossfool import git, reading, roots
from crossfool.errors import UserError
from crossfool.experiment import loading
from crossfool.storage import recovery

WORKSPACE = "workspace"  # what DVC, too, calls the files as they are


class NoRevision(UserError):
    """A name that neither git nor DVC knows."""


@dataclass(frozen=True)
class Version:
    """One state of an experiment.

    Attributes:
        name: As the user gave it.
        values: Its params.yaml, not validated: today's rules need not be those of an old revision.
        tables: (source, attack) -> md5 of its predictions; of cells that have any.
        folder: The experiment's.
    """

    name: str
    values: Mapping[str, Any]
    tables: Mapping[tuple[str, str], str]
    folder: Path

    def targeted(self, attack: str) -> bool:
        """Whether an attack aims at a label."""
        return self.row(attack).get("objective") == "targeted"

    def row(self, attack: str) -> Mapping[str, Any]:
        """An attack's row in params.yaml; of a grid's cell, what the grid's cells share."""
        row = (self.values.get("attacks") or {}).get(attack)
        if row is None:
            row = ((self.values.get("grids") or {}).get(attack[0]) or {}).get("attack")
        return row if isinstance(row, Mapping) else {}

    def table(self, cell: tuple[str, str]) -> Path:
        """The file of a cell's predictions.

        Raises:
            UserError: DVC's cache does not have it.
        """
        place = f"predictions/{cell[0]}/{cell[1]}.parquet"
        if self.name == WORKSPACE:
            return self.folder / place
        md5 = self.tables[cell]
        path = cache(self.folder) / md5[:2] / md5[2:]
        if not path.is_file():
            lack = f"{place} of {self.name} (md5 {md5}) is not in DVC's cache"
            pull = recovery.pulling(self.folder.absolute())
            if pull is None:
                again = f"`git checkout {self.name} && {recovery.repro(self.folder)}`"
                raise UserError(f"{lack}, and no DVC remote is configured; compute that revision's with {again}")
            fetch, where = pull.replace("pull", "fetch"), "" if self.folder == Path() else f" in {self.folder}"
            raise UserError(
                f"{lack}; fetch that revision's predictions with "
                f"`git checkout {self.name} && {fetch} dvc.yaml`{where}, or `{fetch} --all-commits`"
            )
        return path


def workspace(folder: Path) -> Version:
    """The files as they are."""
    experiment = loading.load(folder / "params.yaml")
    values = reading.strict(reading.read(folder / "params.yaml"))  # as it is written
    cells = ((source, attack) for source in experiment.sources for attack in experiment.rows)
    paths = {cell: folder / f"predictions/{cell[0]}/{cell[1]}.parquet" for cell in cells}
    tables = {cell: md5(path) for cell, path in paths.items() if path.is_file()}
    return Version(WORKSPACE, values, tables, folder)


def at(name: str, folder: Path) -> Version:
    """An experiment as a revision has it.

    Raises:
        UserError: no such revision, or it has no dvc.lock or params.yaml in this folder.
    """
    if name == WORKSPACE:
        return workspace(folder)
    commit = git.commit(name, folder)
    if commit is None:
        advice = f"see `git log` and `dvc exp list`{git.shallow(folder)}"
        raise NoRevision(f"{name} is no git revision and no DVC experiment; {advice}")
    lock, text = (_file(name, commit, file, folder) for file in ("dvc.lock", "params.yaml"))
    try:
        values = reading.lenient(text)
    except UserError as error:
        raise UserError(f"params.yaml of {name} {error}") from None
    outs = outputs(lock)
    places = {Path(place): out["md5"] for place, out in outs.items() if place.startswith("predictions/")}
    tables = {(path.parent.name, path.stem): md5 for path, md5 in places.items() if path.parent.name != "clean"}
    return Version(name, values if isinstance(values, dict) else {}, tables, folder)


def _file(name: str, commit: str, file: str, folder: Path) -> str:
    """The text of a file in a commit, which the user calls by `name`."""
    found = git.file(commit, file, folder)
    if found is None:
        raise UserError(f"{name} has no {file} in {folder.resolve().name}; take a revision at which it was run")
    return found.decode("utf-8", "replace")


def outputs(lock: str) -> dict[str, dict[str, Any]]:
    """Path -> md5, size, stage and the stage's params, of every output that the text of a dvc.lock names."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster, where it was built
    try:
        stages = (yaml.load(lock, loader) or {}).get("stages", {})
        return {
            out["path"]: {"md5": str(out["md5"]), "size": out.get("size"), "stage": name, "params": _params(stage)}
            for name, stage in stages.items()
            for out in stage.get("outs", [])
            if "md5" in out
        }
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise UserError(f"dvc.lock cannot be read: {' '.join(str(error).split())}; see `git diff dvc.lock`") from None


def _params(stage: Mapping[str, Any]) -> Mapping[str, Any]:
    return (stage.get("params") or {}).get("params.yaml") or {}


@functools.cache
def cache(folder: Path) -> Path:
    """Where DVC keeps files by their md5, as its configuration says."""
    with roots.records(folder) as repo:
        if repo is None:
            raise UserError(f"{folder.resolve()} is in no DVC repository; run the command inside a clone")
        return Path(repo.cache.local.path)


def md5(path: Path) -> str:
    """The md5 of a file's bytes, by which DVC knows it."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, functools.partial(hashlib.md5, usedforsecurity=False)).hexdigest()
