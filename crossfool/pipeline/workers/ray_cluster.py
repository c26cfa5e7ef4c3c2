"""Compute tasks on a Ray cluster."""

import contextlib
import logging
import os
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from crossfool import signals
from crossfool.errors import UserError, brief
from crossfool.pipeline.workers.local import require_shared_memory
from crossfool.pipeline.workers.task import ComputedTasks, Order, Task, Tensors
from crossfool.pipeline.workers.worker import TASKS_AHEAD, compute, hand_out, missing_library

RETRIES = 10  # of a task whose worker or node died
CONNECT_SECONDS = 5.0  # seconds in which a Ray cluster has to answer


def _compute_in_task(order: Order, kind: str, arrays: Tensors, *files: np.ndarray) -> Tensors:
    """Compute a task in a Ray worker, to which Ray shows its own GPU alone."""
    os.environ["CROSSFOOL_DEVICE"] = kind
    if kind == "cpu":
        torch.set_num_threads(1)
    return compute(order, files, arrays)


class Ray:
    """Tasks on a Ray cluster, each with a GPU where the cluster has any, else with one core."""

    task = staticmethod(_compute_in_task)

    def __init__(self) -> None:
        try:
            import ray
        except ImportError as error:
            raise missing_library("ray", error) from None
        self._ray = ray
        if not ray.is_initialized():
            address = os.environ.get("RAY_ADDRESS", "local")  # not one that another process of this machine started
            if address == "local":  # its object store lies in shared memory, too; Ray would try for a minute
                require_shared_memory("CROSSFOOL_ENGINE=local")
            try:
                _check_reachable(address)
                with signals.restoring_handlers():
                    ray.init(address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
            except Exception as error:  # Ray raises many kinds
                where = "this machine" if address == "local" else address
                raise UserError(
                    f"no Ray cluster at {where}: {brief(error, 200)}; see RAY_ADDRESS and `ray start`"
                ) from None
        gpus = ray.cluster_resources().get("GPU", 0)
        self.kind = "cuda" if gpus else "cpu"
        self._needs = {"num_gpus": 1, "num_cpus": 0} if gpus else {"num_cpus": 1}
        self._slots = int(gpus or ray.cluster_resources().get("CPU", 1))

    def run(self, tasks: Sequence[Task], name: str) -> ComputedTasks:
        """Compute tasks, and yield each with its tensors as they finish.

        Raises:
            UserError: a task was lost, or raised it.
        """
        ray, stored = self._ray, _Stored(self._ray, tasks)
        remote_task = ray.remote(max_retries=RETRIES, **self._needs)(self.task)

        def submit(task: Task) -> Any:
            order, files = stored.references(task)
            return remote_task.remote(order, self.kind, task.arrays(), *files)

        handed_out = hand_out(
            tasks,
            TASKS_AHEAD * self._slots,
            submit,
            lambda running: ray.wait(running)[0],
            lambda reference: ray.cancel(reference, force=True),
        )
        with contextlib.closing(handed_out):
            for task, reference in handed_out:
                yield task, self._result(reference)

    def _result(self, reference: Any) -> Tensors:
        """Tensors of a finished task."""
        try:
            tensors: Tensors = self._ray.get(reference)
            return tensors
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, (UserError, MemoryError, torch.OutOfMemoryError)):
                raise error.cause from None  # as a worker process of this machine does: `stage` prints each as one line
            raise
        except self._ray.exceptions.RayError as error:
            reason = brief(str(error).strip().splitlines()[0], 200)
            raise UserError(
                f"a task was lost in spite of {RETRIES} retries ({reason}); what is finished is kept: "
                "run `dvc repro` again"
            ) from None


class _Stored:
    """Orders and files in Ray's object store: each put there once, and let go after its last task.

    Args:
        ray: The library.
        tasks: All tasks of a run.
    """

    def __init__(self, ray: Any, tasks: Sequence[Task]) -> None:
        self._ray, self._references = ray, dict[int | Path, Any]()
        self._left = Counter(key for task in tasks for key in (id(task.order), *task.files))

    def references(self, task: Task) -> tuple[Any, list[Any]]:
        """References of a task's order and files; Ray itself holds those of tasks that are submitted."""
        order = self._reference(id(task.order), lambda: task.order)
        files = [self._reference(path, lambda path=path: np.fromfile(path, np.uint8)) for path in task.files]  # type: ignore[misc]
        keys: list[int | Path] = [id(task.order), *task.files]
        for key in keys:
            self._left[key] -= 1
            if not self._left[key]:
                del self._references[key]
        return order, files

    def _reference(self, key: int | Path, read: Callable[[], Any]) -> Any:
        """Reference of an object, which is put into the store where it is not there."""
        if key not in self._references:
            self._references[key] = self._ray.put(read())
        return self._references[key]


def _check_reachable(address: str) -> None:
    """Raise OSError where nothing listens at host:port, which Ray would try for minutes; leave the rest to Ray."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isascii() and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
