"""Start processes that compute when a message asks them to."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any


@contextmanager
def worker(
    target: Callable[..., None], *arguments: Any, environment: Mapping[str, str] | None = None
) -> Iterator[Connection]:
    """Start a fresh process that runs target(connection, *arguments), for the time of the block; yield our connection.

    Where the worker dies, receiving from it raises EOFError. `environment` is added to this process's variables.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *arguments), daemon=True)
    previous = dict(os.environ)
    os.environ.update(environment or {})
    process.start()  # takes the environment as it is now
    os.environ.clear()
    os.environ.update(previous)
    theirs.close()
    try:
        yield ours
    finally:
        process.kill()
        process.join()
