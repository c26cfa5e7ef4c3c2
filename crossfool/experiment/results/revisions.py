"""Versions of an experiment's predictions: its files as they are, or those of a git revision, in DVC's cache or git."""

import functools
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossfool.errors import UserError
from crossfool.experiment import dvc_records, git, loading, params_file
from crossfool.storage import recovery
from crossfool.storage.dvc_lock import parse_outputs
from crossfool.storage.hashing import md5
from crossfool.storage.parquet import read_table

if TYPE_CHECKING:
    import pyarrow as pa

WORKSPACE = "workspace"  # DVC's name, too, for the files as they are


class UnknownRevision(UserError):
    """A name that neither git nor DVC knows."""


@dataclass(frozen=True)
class Version:
    """A version of an experiment: its files as they are, or a git revision.

    Attributes:
        name: The version's name, as the user gave it.
        values: The version's params.yaml, not validated: today's rules need not be those of an old revision.
        tables: (source, attack) -> md5 of the predictions, for each cell that has any.
        folder: The experiment's.
        commit: The revision's hash; "" for the files as they are.
    """

    name: str
    values: Mapping[str, Any]
    tables: Mapping[tuple[str, str], str]
    folder: Path
    commit: str = ""

    @property
    def uses_tuning(self) -> bool:
        """Whether tuning images are attacked, and not those that reports score."""
        subset = self.values.get("subset")
        return isinstance(subset, Mapping) and subset.get("use") == "tuning"

    def targeted(self, attack: str) -> bool:
        """Whether an attack aims at a label."""
        return self.row(attack).get("objective") == "targeted"

    def row(self, attack: str) -> Mapping[str, Any]:
        """The row of an attack in params.yaml; for a grid's cell, the keys that the grid's cells share."""
        row = (self.values.get("attacks") or {}).get(attack)
        if row is None:
            row = ((self.values.get("grids") or {}).get(attack[0]) or {}).get("attack")
        return row if isinstance(row, Mapping) else {}

    def table(self, cell: tuple[str, str]) -> "pa.Table":
        """The table of a cell's predictions, from the folder, DVC's cache or git.

        Raises:
            UserError: neither has it, or it is damaged.
        """
        place = f"predictions/{cell[0]}/{cell[1]}.parquet"
        if self.name == WORKSPACE:
            return read_table(self.folder / place)
        digest = self.tables[cell]
        path = cache_folder(self.folder) / digest[:2] / digest[2:]
        if path.is_file():
            return read_table(path)
        committed = git.file(self.commit, place, self.folder)
        if committed is None:
            message = f"{place} of {self.name} (md5 {digest}) is neither in git nor in DVC's cache"
            pull = recovery.pull_command(self.folder.absolute())
            if pull is None:
                again = f"`git checkout {self.name} && {recovery.repro_command(self.folder)}`"
                raise UserError(f"{message}, and no DVC remote is configured; compute that revision's with {again}")
            fetch, where = pull.replace("pull", "fetch"), "" if self.folder == Path() else f" in {self.folder}"
            raise UserError(
                f"{message}; fetch that revision's predictions with "
                f"`git checkout {self.name} && {fetch} dvc.yaml`{where}, or `{fetch} --all-commits`"
            )
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder, path.name)
            copy.write_bytes(committed)
            return read_table(copy)


def workspace_version(folder: Path) -> Version:
    """The version of an experiment's files as they are.

    Raises:
        UserError: params.yaml is wrong.
    """
    experiment = loading.load_experiment(folder / "params.yaml")
    values = params_file.parse_strict(params_file.read_text(folder / "params.yaml"))  # as it is written
    cells = ((source, attack) for source in experiment.sources for attack in experiment.rows)
    paths = {cell: folder / f"predictions/{cell[0]}/{cell[1]}.parquet" for cell in cells}
    tables = {cell: md5(path) for cell, path in paths.items() if path.is_file()}
    return Version(WORKSPACE, values, tables, folder)


def version_at(name: str, folder: Path) -> Version:
    """The version of an experiment at a revision.

    Args:
        name: A git revision, a DVC experiment, or `workspace`.
        folder: The experiment's.

    Raises:
        NoRevision: there is no such revision.
        UserError: the revision has no dvc.lock or params.yaml in this folder.
    """
    if name == WORKSPACE:
        return workspace_version(folder)
    commit = git.commit(name, folder)
    if commit is None:
        advice = f"see `git log` and `dvc exp list`{git.shallow_clone_hint(folder)}"
        raise UnknownRevision(f"{name} is no git revision and no DVC experiment; {advice}")
    lock, text = (_file(name, commit, file, folder) for file in ("dvc.lock", "params.yaml"))
    try:
        values = params_file.parse_lenient(text)
    except UserError as error:
        raise UserError(f"params.yaml of {name} {error}") from None
    outs = parse_outputs(lock)
    places = {Path(place): out["md5"] for place, out in outs.items() if place.startswith("predictions/")}
    tables = {(path.parent.name, path.stem): digest for path, digest in places.items() if path.parent.name != "clean"}
    return Version(name, values if isinstance(values, dict) else {}, tables, folder, commit)


def _file(name: str, commit: str, file: str, folder: Path) -> str:
    """The text of a file in a commit, which error messages call by `name`."""
    content = git.file(commit, file, folder)
    if content is None:
        raise UserError(f"{name} has no {file} in {folder.resolve().name}; give a revision whose experiment has run")
    return content.decode("utf-8", "replace")


@functools.cache
def cache_folder(folder: Path) -> Path:
    """The folder of DVC's cache, in which files lie by their md5.

    Raises:
        UserError: `folder` is not in a DVC repository.
    """
    with dvc_records.open_repository(folder) as repo:
        if repo is None:
            raise UserError(f"{folder.resolve()} is not in a DVC repository; run the command inside a clone")
        return Path(repo.cache.local.path)
