"""Files that appear whole or not at all."""

import contextlib
import glob
import os
from collections.abc import Iterator
from pathlib import Path

from crossfool.errors import writing


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path in the folder of `path`, flushed to the disk and renamed to `path` when the block ends well.

    What a process killed outright left there is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        if not _alive(left.name.split(".")[-2]):
            left.unlink(missing_ok=True)
    temporary = path.parent / f".{path.name}.{os.getpid()}.tmp"
    try:
        with writing(path):
            temporary.touch()
            yield temporary
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())  # renamed before its bytes are there, it could be empty after a power failure
            os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _alive(pid: str) -> bool:
    """Whether a process of this number runs; a name that is no number counts as one."""
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (ValueError, PermissionError, OverflowError):
        return True
    return True
