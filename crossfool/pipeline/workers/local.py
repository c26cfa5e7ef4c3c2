"""Compute tasks in several processes of this machine."""

import contextlib
import os
import signal
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

import torch

from crossfool import signals
from crossfool.errors import UserError
from crossfool.pipeline.workers.task import ComputedTasks, Task
from crossfool.pipeline.workers.worker import TASKS_AHEAD, compute, hand_out
from crossfool.runtime import choose_device, end_with_parent, missing_semaphores_reason


class Processes:
    """Worker processes of this machine, each with a GPU or with its share of the cores."""

    def __init__(self, count: int, gpus: int) -> None:
        require_shared_memory("CROSSFOOL_WORKERS=1")
        self.count, self.kind = count, "cuda" if gpus else choose_device().type
        self._devices = [f"cuda:{place % gpus}" for place in range(count)] if gpus else [None] * count
        self._threads = max(1, torch.get_num_threads() // count)

    def run(self, tasks: Sequence[Task], name: str) -> ComputedTasks:
        """Compute tasks, and yield each with its tensors as they finish.

        Raises:
            UserError: a worker process died, or a task raised it.
        """
        if not tasks:
            return
        context = get_context("spawn")
        devices = context.SimpleQueue()
        for device in self._devices:
            devices.put(device)
        count = min(self.count, len(tasks))
        with contextlib.ExitStack() as stack:
            pool = ProcessPoolExecutor(count, context, _begin_worker, (devices, self._threads))
            # a process that is told to end does not wait for its workers: they end with it
            stack.callback(lambda: pool.shutdown(wait=not signals.ending_on_signal(), cancel_futures=True))
            handed_out = hand_out(
                tasks,
                TASKS_AHEAD * count,
                lambda task: pool.submit(compute, task.order, task.files, task.arrays()),
                lambda running: wait(running, return_when=FIRST_COMPLETED).done,
                lambda future: future.cancel(),
            )
            stack.callback(handed_out.close)
            try:
                for task, future in handed_out:
                    yield task, future.result()
            except BrokenProcessPool:  # raised by a task, or when the next one is submitted
                raise UserError(
                    "a worker process died (killed, or out of memory?); what is finished is kept: "
                    "run `dvc repro` again, with fewer CROSSFOOL_WORKERS if it happens again"
                ) from None


def require_shared_memory(otherwise: str) -> None:
    """Refuse to start worker processes where there is no shared memory.

    Args:
        otherwise: The setting that does without, for the error.

    Raises:
        UserError: the machine lacks the semaphores that processes share work with.
    """
    lacking = missing_semaphores_reason()
    if lacking:
        advice = "mount a folder there that can be written to (docker run --tmpfs /dev/shm)"
        raise UserError(f"{lacking}; {advice}, or set {otherwise}")


def _begin_worker(devices: Any, threads: int) -> None:
    """Take a device and a share of the cores, as a worker process's first act."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    end_with_parent()
    name = devices.get()
    if name is not None:
        os.environ["CROSSFOOL_DEVICE"] = name
    torch.set_num_threads(threads)
