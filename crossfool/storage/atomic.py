"""Files that appear whole or not at all."""

import contextlib
import glob
import os
from collections.abc import Iterator
from pathlib import Path

from crossfool.errors import naming_file


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, flush it to the disk and rename it to `path` when the block ends well.

    Temporary files that killed processes left there are removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for abandoned in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        if not _is_running(abandoned.name.split(".")[-2]):
            abandoned.unlink(missing_ok=True)
    temporary = path.parent / f".{path.name}.{os.getpid()}.tmp"
    try:
        with naming_file(path):
            temporary.touch()
            yield temporary
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())  # a file renamed before its bytes are there may be empty after a power failure
            os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _is_running(pid: str) -> bool:
    """Whether a process of this number runs; True for a text that is no number."""
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (ValueError, PermissionError, OverflowError):
        return True
    return True
