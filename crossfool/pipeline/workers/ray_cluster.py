"""Compute chunks in tasks on a Ray cluster."""

import contextlib
import logging
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from crossfool import signals
from crossfool.errors import UserError, brief
from crossfool.pipeline.crafting.cell_inputs import Cell, ComputedChunks, Tensors
from crossfool.pipeline.workers.local import require_shared_memory
from crossfool.pipeline.workers.worker import (
    TASKS_AHEAD,
    Order,
    chunk_arrays,
    compute_chunk,
    hand_out,
    make_order,
    missing_library,
)
from crossfool.storage.tensors import TensorFile

RETRIES = 10  # of a task whose worker or node died
CONNECT_SECONDS = 5.0  # seconds in which a Ray cluster has to answer


def _compute_in_task(order: Order, kind: str, chunk: Tensors, *files: np.ndarray) -> Tensors:
    """Compute a chunk in a Ray task, to which Ray shows its own GPU alone."""
    os.environ["CROSSFOOL_DEVICE"] = kind
    if kind == "cpu":
        torch.set_num_threads(1)
    return compute_chunk(order, files, chunk)


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
            if (
                "RAY_ADDRESS" not in os.environ
            ):  # its object store lies in shared memory, too; Ray would try for a minute
                require_shared_memory("CROSSFOOL_ENGINE=local")
            try:
                _check_reachable(os.environ.get("RAY_ADDRESS", ""))
                with signals.restoring_handlers():
                    ray.init(log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
            except Exception as error:  # Ray raises many kinds
                where = os.environ.get("RAY_ADDRESS", "this machine")
                raise UserError(
                    f"no Ray cluster at {where}: {brief(error, 200)}; see RAY_ADDRESS and `ray start`"
                ) from None
        gpus = ray.cluster_resources().get("GPU", 0)
        self.kind = "cuda" if gpus else "cpu"
        self._needs = {"num_gpus": 1, "num_cpus": 0} if gpus else {"num_cpus": 1}
        self._slots = int(gpus or ray.cluster_resources().get("CPU", 1))

    def chunks(self, cell: Cell, weights: Sequence[Path], parts: Sequence[slice]) -> ComputedChunks:
        """Compute parts of the subset in tasks, and yield each part and its tensors as they finish.

        Raises:
            UserError: a task was lost, or a gradient was not finite.
        """
        ray = self._ray
        subset, cell_order = TensorFile(cell.subset), ray.put(make_order(cell))
        files = [ray.put(np.fromfile(path, np.uint8)) for path in weights] if parts else []
        task = ray.remote(max_retries=RETRIES, **self._needs)(self.task)
        handed_out = hand_out(
            parts,
            TASKS_AHEAD * self._slots,
            lambda part: task.remote(cell_order, self.kind, chunk_arrays(subset, part), *files),
            lambda running: ray.wait(running)[0],
            lambda reference: ray.cancel(reference, force=True),
        )
        with contextlib.closing(handed_out):
            for part, reference in handed_out:
                yield part, self._result(reference)

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
                f"a task was lost in spite of {RETRIES} retries ({reason}); finished chunks are kept: "
                "run `dvc repro` again"
            ) from None


def _check_reachable(address: str) -> None:
    """Raise OSError where nothing listens at host:port, which Ray would try for minutes; leave the rest to Ray."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isascii() and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
