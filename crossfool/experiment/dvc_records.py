"""DVC's records of the files in an experiment: dvc.lock, now and in all commits, and the run cache."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from crossfool.errors import UserError, brief
from crossfool.experiment import git
from crossfool.storage.hashing import md5


def divide_by_origin(folder: Path, files: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Divide files in an experiment's folder into those that stages made, and others.

    A file counts among the others where DVC's records do not name its path with the bytes that it has.
    """
    outputs = {path: (path.relative_to(folder).as_posix(), md5(path)) for path in files}
    ours = set[Path]()
    for lines in (_lock, _runs, _history):  # the cheapest first, and no other where all is known
        if len(ours) < len(outputs):
            pending = {outputs[path] for path in outputs.keys() - ours}
            named = pending.intersection(_outputs(lines(folder)))
            ours |= {path for path, output in outputs.items() if output in named}
    return [path for path in outputs if path in ours], [path for path in outputs if path not in ours]


def locked_paths(folder: Path) -> frozenset[str]:
    """Paths that an experiment's dvc.lock names; none where it has no dvc.lock."""
    return frozenset(path for path, _ in _outputs(_lock(folder)))


def _outputs(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(path, md5) of each output that lines of DVC's records list; where the lines are a diff's, of both sides."""
    item: dict[str, str] = {}
    for line in lines:
        text = line.strip()
        if text.startswith("- "):
            item = {}
        key, _, value = text.removeprefix("- ").partition(": ")
        if key in ("path", "md5"):
            item[key] = value.strip("'\"")
            if len(item) == 2:
                yield item["path"], item["md5"]


def _lock(folder: Path) -> Iterator[str]:
    """Lines of dvc.lock."""
    path = folder / "dvc.lock"
    return iter(path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ())


def _runs(folder: Path) -> Iterator[str]:
    """Lines of the run cache: every run of a stage here, with its outputs."""
    with open_repository(folder) as repo:
        place = Path(repo.stage_cache.cache_dir) if repo is not None else None
    if place is None:
        return
    for path in place.glob("*/*/*"):
        if path.is_file():
            yield from path.read_text(encoding="utf-8", errors="replace").splitlines()


def _history(folder: Path) -> Iterator[str]:
    """Lines of the patches to dvc.lock in all commits, those of DVC's experiments among them."""
    return (line[1:] for line in git.patches(folder, "dvc.lock").splitlines())  # without the signs of a diff


@contextlib.contextmanager
def open_repository(folder: Path) -> Iterator[Any]:
    """Open the DVC repository (`dvc.repo.Repo`) that a folder is in, for the block; None where it is in none.

    Raises:
        UserError: DVC refuses something in the block, and says why; a DVC command that is at work holds its lock.
    """
    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.lock import LockError
    from dvc.repo import Repo

    try:
        repo = Repo(os.fspath(folder))
    except NotDvcRepoError:
        yield None
        return
    except DvcException as error:
        raise UserError(f"DVC cannot open the repository of {folder}: {_line(error)}") from None
    with repo:
        try:
            yield repo
        except LockError as error:
            advice = f"wait for it to end, then run the command again (DVC says: {_line(error)})"
            raise UserError(f"a DVC command is at work in {folder}; {advice}") from None
        except DvcException as error:
            raise UserError(f"DVC cannot read the repository of {folder}: {_line(error)}") from None


def _line(error: Exception) -> str:
    """An error and its cause, in one line."""
    message, cause = " ".join(str(error).split()), error.__cause__
    if cause is not None and str(cause) and str(cause) not in message:
        message += f": {' '.join(str(cause).split())}"
    return brief(message or type(error).__name__, 500)
