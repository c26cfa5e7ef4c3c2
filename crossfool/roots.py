"""Where the project lies, and its experiments. Imports nothing heavy."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crossfool.errors import UserError, unknown


def root(start: Path) -> Path:
    """The project's folder: the nearest above `start` that holds the shared graph and its stages.

    Raises:
        UserError: there is none.
    """
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / "dvc.yaml").is_file() and (folder / "stages").is_dir():
            return folder
    raise UserError(f"{start.resolve()} is in no crossfool repository; run the command inside a clone of it")


def experiments(project: Path) -> dict[str, Path]:
    """Name -> folder of each experiment: the root's, `.`, then those of `experiments/`, by name."""
    found = {path.parent.name: path.parent for path in sorted(project.glob("experiments/*/params.yaml"))}
    return ({".": project} if (project / "params.yaml").is_file() else {}) | found


def experiment(name: str, start: Path = Path()) -> Path:
    """An experiment's folder, by its path or its name.

    Raises:
        UserError: neither.
    """
    if (start / name).is_dir():
        return start / name
    known = experiments(root(start))
    if name in known:
        return start / os.path.relpath(known[name], start)
    raise unknown("experiment", name, known)


@contextlib.contextmanager
def records(folder: Path) -> Iterator[Any]:
    """The DVC repository (`dvc.repo.Repo`) that a folder is in, open in the block; None where it is in none.

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
    """An error and what it rests on, in one line."""
    parts = [" ".join(str(error).split())]
    cause = error.__cause__
    if cause is not None and str(cause) and str(cause) not in parts[0]:
        parts.append(" ".join(str(cause).split()))
    return ": ".join(parts)[:500]
