"""Processes that compute when they are told to."""

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
    """A fresh process that runs target(connection, *arguments), for the time of the block; our end of the connection.

    A worker that dies ends our waiting with EOFError. Its environment is our own unless one is given.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *arguments), daemon=True)
    own = dict(os.environ)
    os.environ.update(environment or {})
    process.start()  # takes the environment as it is now
    os.environ.clear()
    os.environ.update(own)
    theirs.close()
    try:
        yield ours
    finally:
        process.kill()
        process.join()
