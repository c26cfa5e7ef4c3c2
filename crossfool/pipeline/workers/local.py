"""Chunks computed by several processes of this machine."""

import contextlib
import os
import signal
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from crossfool import signals
from crossfool.errors import UserError
from crossfool.pipeline.crafting.cell import Cell, Found
from crossfool.pipeline.workers.worker import AHEAD, arrays, compute, hand_out, order
from crossfool.runtime import device, end_with_parent, lacking_semaphores
from crossfool.storage.tensors import TensorFile


class Processes:
    """So many processes of this machine, each with a GPU, or its share of the cores."""

    def __init__(self, count: int, gpus: int) -> None:
        require_shared_memory("CROSSFOOL_WORKERS=1")
        self.count, self.kind = count, "cuda" if gpus else device().type
        self._devices = [f"cuda:{place % gpus}" for place in range(count)] if gpus else [None] * count
        self._threads = max(1, torch.get_num_threads() // count)

    def chunks(self, cell: Cell, weights: Sequence[Path], parts: Sequence[slice]) -> Found:
        if not parts:
            return
        subset, ordered, context = TensorFile(cell.subset), order(cell), get_context("spawn")
        places = context.SimpleQueue()
        for own in self._devices:
            places.put(own)
        count = min(self.count, len(parts))
        with contextlib.ExitStack() as stack:
            pool = ProcessPoolExecutor(count, context, _begin, (places, self._threads))
            # of a process that is told to end, workers are not waited for: they end with it
            stack.callback(lambda: pool.shutdown(wait=not signals.told(), cancel_futures=True))
            handed_out = hand_out(
                parts,
                AHEAD * count,
                lambda part: pool.submit(compute, ordered, weights, arrays(subset, part)),
                lambda running: wait(running, return_when=FIRST_COMPLETED).done,
                lambda future: future.cancel(),
            )
            stack.callback(handed_out.close)
            try:
                for part, future in handed_out:
                    yield part, future.result()
            except BrokenProcessPool:  # told by a task, or when the next one is handed in
                raise UserError(
                    "a worker process died (killed, or out of memory?); finished chunks are kept: "
                    "run `dvc repro` again, with fewer CROSSFOOL_WORKERS if it happens again"
                ) from None


def require_shared_memory(otherwise: str) -> None:
    """Refuse to start processes that could not share work, and say what to set instead."""
    lacking = lacking_semaphores()
    if lacking:
        advice = "mount a folder there that can be written to (docker run --tmpfs /dev/shm)"
        raise UserError(f"{lacking}; {advice}, or set {otherwise}")


def _begin(places: Any, threads: int) -> None:
    """A worker process's first act: take a device and its share of the cores."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    end_with_parent()
    own = places.get()
    if own is not None:
        os.environ["CROSSFOOL_DEVICE"] = own
    torch.set_num_threads(threads)
