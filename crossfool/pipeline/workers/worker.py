"""Who computes a cell's chunks: this process, processes of this machine, a Ray cluster, or Slurm jobs.

Chosen by `CROSSFOOL_ENGINE` and `CROSSFOOL_WORKERS`, never by a tracked parameter: a chunk's bytes do not
depend on who computes it. The process that DVC started hands chunks out, and writes what comes back as it comes
(`cells.run_elsewhere`), so that a kill loses no finished chunk whatever the engine.

    local   this process; with several GPUs, or CROSSFOOL_WORKERS, so many processes of this machine
    ray     tasks on a Ray cluster: the one at RAY_ADDRESS, or a new one on this machine. Weights and images go
            through its object store; a task whose node dies is tried again elsewhere
    slurm   CROSSFOOL_WORKERS jobs through submitit, which share this folder; what a killed one has left is given
            to a new one. CROSSFOOL_SLURM has their options ("partition=gpu gpus_per_node=1 timeout_min=60")
"""

import functools
import tempfile
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from crossfool.attacks.losses import Model
from crossfool.attacks.torchattack import catalogue
from crossfool.errors import UserError, writing
from crossfool.models.inference.batch_size import Fit
from crossfool.pipeline.crafting import batches
from crossfool.pipeline.crafting import cell as crafting_cell
from crossfool.pipeline.crafting.cell import Cell, Tensors
from crossfool.runtime import code, device
from crossfool.storage.tensors import TensorFile

AHEAD = 2  # tasks a worker that wait in line, so that none is idle and the object store stays small
NAMES = ("images", "labels", "target_labels", "index")  # of the subset's tensors that a chunk needs


# What a worker does.


@dataclass(frozen=True)
class Order:
    """A cell, for a worker that may be on another machine.

    Attributes:
        cell: The cell; the worker does not read its subset.
        weights: The weights files, by their sha256.
        versions: Of what computes; a worker's own have to be the same.
    """

    cell: Cell
    weights: tuple[str, ...]
    versions: str


def order(cell: Cell) -> Order:
    return Order(cell, tuple(member["sha256"] for member in cell.source["members"].values()), _versions(cell))


@functools.cache  # read once: a worker computes with the code that it has imported, not with what lies there later
def versions() -> str:
    """What has to be the same wherever chunks of one cell are computed."""
    return f"torch {torch.__version__}, crossfool {code()[:16]}"


def _versions(cell: Cell) -> str:
    """Those, and the version of the library whose attack it is."""
    if cell.attack.method is None:
        return versions()
    from crossfool.attacks.torchattack import adapter

    return f"{versions()}, {catalogue.LIBRARY} {adapter.version()}"


def arrays(subset: TensorFile, part: slice) -> dict[str, np.ndarray]:
    """What a chunk needs of the subset."""
    return {name: np.array(subset[name][part]) for name in NAMES}


@dataclass
class Kept:
    """What a worker keeps from one chunk to the next."""

    key: object
    members: list[Model]
    fit: Fit


_kept: list[Kept] = []


def compute(order: Order, files: Sequence[Path | np.ndarray], chunk: Tensors) -> Tensors:
    """What `cells.craft` makes of a chunk; models are loaded when a worker first needs them.

    Args:
        order: Of the cell.
        files: Its weights files: paths, or their bytes.
        chunk: See `arrays`.

    Raises:
        UserError: the worker has other versions, or a gradient was not finite.
    """
    if _versions(order.cell) != order.versions:
        raise UserError(
            f"a worker has {_versions(order.cell)}, and this machine {order.versions}; install the same on all"
        )
    key = (order.weights, order.cell.compute, order.cell.attack.as_built)
    if not _kept or _kept[0].key != key:
        _kept.clear()
        members: list[Model] = [_loaded(file, order.cell) for file in files]
        _kept.append(Kept(key, members, batches.fit(order.cell, members, chunk["images"], device())))
    kept = _kept[0]
    work = batches.Work(order.cell, kept.members, chunk, device(), kept.fit)
    ((_, made),) = work.chunks([slice(0, len(chunk["index"]))])
    return made


def _loaded(file: Path | np.ndarray, cell: Cell) -> Model:
    if isinstance(file, Path):
        return crafting_cell.loaded(cell, file, device())
    with tempfile.TemporaryDirectory(prefix="crossfool-") as folder:
        path = Path(folder) / "weights.safetensors"
        with writing(path):
            path.write_bytes(file.data)
        return crafting_cell.loaded(cell, path, device())


def hand_out(
    parts: Sequence[slice],
    room: int,
    submit: Callable[[slice], Any],
    finished: Callable[[list[Any]], Iterable[Any]],
    cancel: Callable[[Any], object],
) -> Generator[tuple[slice, Any], None, None]:
    """Parts and their tasks as these finish; at most `room` wait or run at a time, and none once this is closed.

    Args:
        parts: What to compute.
        room: How many.
        submit: Makes the task of a part.
        finished: Waits for some of the tasks that it is given, and says which.
        cancel: Takes a task back.
    """
    waiting, running = list(reversed(parts)), dict[Any, slice]()
    try:
        while waiting or running:
            while waiting and len(running) < room:
                part = waiting.pop()
                running[submit(part)] = part
            for task in finished(list(running)):
                yield running.pop(task), task
    finally:
        for task in running:
            cancel(task)


def missing_library(library: str, error: ImportError) -> UserError:
    """An error for a library that is not there, or that cannot be imported, as its error says."""
    reason = "" if error.name == library else f", which cannot be imported ({' '.join(str(error).split())[:200]})"
    return UserError(f"CROSSFOOL_ENGINE needs {library}{reason}; pip install 'crossfool[cluster]'")
