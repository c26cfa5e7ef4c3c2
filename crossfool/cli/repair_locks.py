"""Repair dvc.lock and .dvc/tmp/rwlock, which are cut off when DVC is killed while writing them.

DVC writes both in place, and refuses a cut-off file ever after.
"""

import json
import os
from pathlib import Path
from typing import Any

from crossfool.errors import UserError
from crossfool.experiment import dvc_records, git
from crossfool.storage.atomic import replacing

LOCK_NAME = "dvc.lock"


def repair(folder: Path) -> str | None:
    """Put a whole dvc.lock in the place of a broken one: the last commit's, or none where that has none.

    Nothing that has run is lost by it: `dvc repro` takes from DVC's run cache what the older file does not know of.
    A broken rwlock, DVC's note of which of its processes works on what, is removed: those processes are gone.

    Args:
        folder: The experiment's.

    Returns:
        What was done, a line for each file; None where both files are whole, or not there.

    Raises:
        UserError: `folder` is in no DVC repository; or a DVC command is at work there, which may be writing the file;
            or a merge of git's left the file in conflict, which is no cut-off file.
    """
    with dvc_records.open_repository(folder) as repo:
        if repo is None:
            raise UserError(f"{folder} is not in a DVC repository; run the command inside a clone of crossfool")
        with repo.lock:
            done = [_released(repo), None if _whole(repo, folder / LOCK_NAME) else _replaced(repo, folder / LOCK_NAME)]
            return "\n".join(line for line in done if line) or None


def _whole(repo: Any, path: Path) -> bool:
    """Whether DVC can read a dvc.lock, or there is none."""
    from dvc.dvcfile import Lockfile
    from dvc.exceptions import DvcException

    try:
        Lockfile(repo, os.fspath(path.absolute())).load()
    except DvcException:
        return False
    return True


def _released(repo: Any) -> str | None:
    """Remove a broken rwlock, under DVC's guard of it, and say so; None where it is whole or not there."""
    from dvc.lock import make_lock
    from dvc.rwlock import RWLOCK_FILE, RWLOCK_LOCK

    path, hardlink = Path(repo.tmp_dir, RWLOCK_FILE), repo.config["core"].get("hardlink_lock", False)
    with make_lock(os.path.join(repo.tmp_dir, RWLOCK_LOCK), tmp_dir=repo.tmp_dir, hardlink_lock=hardlink):
        try:
            json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError:
            path.unlink()
            return f"removed {os.path.relpath(path)}, which was cut off; DVC makes it anew"
    return None


def _refuse_conflict(path: Path) -> None:
    """Refuse a file that holds the conflict of a merge."""
    if any(line.startswith(b"<<<<<<< ") for line in path.read_bytes().splitlines()):
        raise UserError(
            f"{path} contains a merge conflict; take one side (`git checkout --ours {LOCK_NAME}`, or --theirs), "
            "then run `dvc repro`"
        )


def _replaced(repo: Any, path: Path) -> str:
    """Replace a broken dvc.lock by the last commit's, or remove it where that has none, and say so.

    Raises:
        UserError: there is a git repository, and git cannot say what its last commit has.
    """
    from dvc.scm import NoSCM

    _refuse_conflict(path)
    committed = None if isinstance(repo.scm, NoSCM) else git.file("HEAD", LOCK_NAME, path.parent)
    if committed is not None:
        with replacing(path) as temporary:
            temporary.write_bytes(committed)
        if _whole(repo, path):
            return f"put back {path} of the last commit; `dvc repro` takes the rest from its run cache"
    path.unlink()
    return f"removed {path}, which was cut off; `dvc repro` takes what has run from its run cache"
