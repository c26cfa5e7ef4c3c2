"""Processes that compute when they are told to."""

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any


@contextmanager
def worker(target: Callable[..., None], *arguments: Any) -> Iterator[Connection]:
    """A fresh process that runs target(connection, *arguments), for the time of the block; our end of the connection.

    A worker that dies ends our waiting with EOFError.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        process.kill()
        process.join()
