"""Compute a task in a worker, and hand tasks out to workers: what all engines have in common.

An engine is chosen by `CROSSFOOL_ENGINE` and `CROSSFOOL_WORKERS`, never by a tracked parameter: a task's bytes do not
depend on who computes it. The process that DVC started hands tasks out, and keeps each result as it arrives, so that a
kill loses no finished one, whatever the engine:

    local   this process; with several GPUs, or CROSSFOOL_WORKERS, so many processes of this machine
    ray     tasks on a Ray cluster: the one at RAY_ADDRESS, or a new one on this machine. Weights and images go
            through its object store; a task whose node dies is tried again elsewhere
    slurm   CROSSFOOL_WORKERS jobs through submitit, which share this folder; the rest of a killed job's share is given
            to a new job. CROSSFOOL_SLURM has their options ("slurm_partition=gpu gpus_per_node=1 timeout_min=60")
"""

import contextlib
import functools
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch

from crossfool.attacks.own_parts import errors_in_own_code
from crossfool.errors import UserError, brief, naming_file
from crossfool.pipeline.workers.task import Order, Task, TaskFile, Tensors
from crossfool.runtime import code_digest

Models = TypeVar("Models")

TASKS_AHEAD = 2  # tasks submitted for each worker: no worker is idle, and the object store stays small

_kept: list[tuple[object, Any]] = []  # what the models depend on, and the models; one element at most


@functools.cache  # read once: a worker computes with the code that it has imported, not with what lies there later
def versions() -> str:
    """Versions that have to be the same wherever tasks are computed: of torch and of this package's code."""
    return f"torch {torch.__version__}, crossfool {code_digest()[:16]}"


def compute(order: Order, files: Sequence[TaskFile], arrays: Tensors) -> Tensors:
    """Compute a task in a worker.

    Raises:
        UserError: the worker has other versions than the process that made the order, or the computing raised it.
    """
    if order.current_versions() != order.versions:
        raise UserError(
            f"a worker has {order.current_versions()}, and this machine {order.versions}; install the same on all"
        )
    with errors_in_own_code():  # here, where the traceback is
        return order.compute_tensors(files, arrays)


def keep_models(key: object, load: Callable[[], Models]) -> Models:
    """Return the models that this worker keeps from one task to the next; load them where it keeps others.

    Args:
        key: All that the models depend on.
        load: Loads them.
    """
    if not _kept or _kept[0][0] != key:
        _kept.clear()  # first, so that two tasks' models never lie in memory
        _kept.append((key, load()))
    models: Models = _kept[0][1]
    return models


@contextlib.contextmanager
def local_path(file: TaskFile) -> Iterator[Path]:
    """Give the path of a task's file; bytes lie in a temporary file for the duration of the block."""
    if isinstance(file, Path):
        yield file
        return
    with tempfile.TemporaryDirectory(prefix="crossfool-") as folder:
        path = Path(folder) / "file.safetensors"
        with naming_file(path):
            path.write_bytes(file.data)
        yield path


def hand_out(
    tasks: Sequence[Task],
    room: int,
    submit: Callable[[Task], Any],
    finished: Callable[[list[Any]], Iterable[Any]],
    cancel: Callable[[Any], object],
) -> Generator[tuple[Task, Any], None, None]:
    """Yield tasks and their handles as they finish; submit at most `room` tasks at a time, none once closed.

    Args:
        tasks: Tasks to compute.
        room: How many tasks may wait or run at a time.
        submit: Submits a task, and returns the engine's handle of it.
        finished: Waits until a task of a list of handles is finished, and returns the finished ones.
        cancel: Cancels a task, by its handle.
    """
    waiting, running = list(reversed(tasks)), dict[Any, Task]()
    try:
        while waiting or running:
            while waiting and len(running) < room:
                task = waiting.pop()
                running[submit(task)] = task
            for handle in finished(list(running)):
                yield running.pop(handle), handle
    finally:
        for handle in running:
            cancel(handle)


def missing_library(library: str, error: ImportError) -> UserError:
    """Make an error for an engine's library that is not installed, or cannot be imported for the reason in `error`."""
    reason = "" if error.name == library else f", which cannot be imported ({brief(error, 200)})"
    return UserError(f"CROSSFOOL_ENGINE needs {library}{reason}; pip install 'crossfool[cluster]'")
