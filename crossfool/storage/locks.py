"""Locks that processes take by a file; a process that ends, however it ends, gives them back."""

import contextlib
import fcntl
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold a lock file against other processes for the duration of the block; where one holds it, say so and wait.

    Args:
        path: The lock file, made where it is missing; its folder has to exist.
        what: What is being computed, for the line that is printed while this process waits.
    """
    with open(path, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{what} is being computed by another process; waiting for it", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
