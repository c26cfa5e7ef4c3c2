"""Compute a chunk in a worker, and hand chunks out to workers: what all engines have in common.

An engine is chosen by `CROSSFOOL_ENGINE` and `CROSSFOOL_WORKERS`, never by a tracked parameter: a chunk's bytes do not
depend on who computes it. The process that DVC started hands chunks out, and writes each result as it arrives
(`chunks.compute_with_engine`), so that a kill loses no finished chunk, whatever the engine:

    local   this process; with several GPUs, or CROSSFOOL_WORKERS, so many processes of this machine
    ray     tasks on a Ray cluster: the one at RAY_ADDRESS, or a new one on this machine. Weights and images go
            through its object store; a task whose node dies is tried again elsewhere
    slurm   CROSSFOOL_WORKERS jobs through submitit, which share this folder; the rest of a killed job's share is given
            to a new job. CROSSFOOL_SLURM has their options ("partition=gpu gpus_per_node=1 timeout_min=60")
"""

import functools
import tempfile
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from crossfool.attacks import parts
from crossfool.attacks.losses import Model
from crossfool.attacks.torchattack import catalogue
from crossfool.errors import UserError, brief, naming_file
from crossfool.models.inference.batch_size import Fit
from crossfool.pipeline.crafting import device_crafter
from crossfool.pipeline.crafting.cell_inputs import Cell, Tensors, load_member
from crossfool.runtime import choose_device, code_digest
from crossfool.storage.tensors import TensorFile

TASKS_AHEAD = 2  # tasks submitted for each worker: no worker is idle, and the object store stays small
CHUNK_TENSORS = ("images", "labels", "target_labels", "index")  # tensors of the subset that a chunk needs


@dataclass(frozen=True)
class Order:
    """A cell, for a worker that may be on another machine.

    Attributes:
        cell: The cell; the worker does not read its subset.
        weights: Sha256 of each weights file.
        versions: Versions of this process's code and libraries; a worker refuses to compute with others.
    """

    cell: Cell
    weights: tuple[str, ...]
    versions: str


def make_order(cell: Cell) -> Order:
    """Make the order of a cell, with the versions of this process."""
    return Order(cell, tuple(member["sha256"] for member in cell.source["members"].values()), _versions(cell))


@functools.cache  # read once: a worker computes with the code that it has imported, not with what lies there later
def versions() -> str:
    """Versions that have to be the same wherever chunks of a cell are computed: of torch and of this package's code."""
    return f"torch {torch.__version__}, crossfool {code_digest()[:16]}"


def _versions(cell: Cell) -> str:
    """Versions as `versions` gives them, and that of the library that the cell's attack comes from."""
    if cell.attack.method is None:
        return versions()
    library_version = parts.load(cell.attack, parts.ADAPTER).library_version()
    return f"{versions()}, {catalogue.LIBRARY} {library_version}"


def chunk_arrays(subset: TensorFile, part: slice) -> dict[str, np.ndarray]:
    """Copies of the subset's tensors `CHUNK_TENSORS`, for the images of a chunk."""
    return {name: np.array(subset[name][part]) for name in CHUNK_TENSORS}


@dataclass
class KeptModels:
    """Models that a worker keeps from one chunk to the next.

    Attributes:
        key: All that the models depend on.
        members: The source's models.
        fit: How many images go through the models at once.
    """

    key: object
    members: list[Model]
    fit: Fit


_kept: list[KeptModels] = []


def compute_chunk(order: Order, files: Sequence[Path | np.ndarray], chunk: Tensors) -> Tensors:
    """Craft a chunk in a worker; models are loaded when a worker first needs them.

    Args:
        order: Order of the cell.
        files: The source's weights files: paths, or their bytes (n,) uint8.
        chunk: Tensors of the subset, see `chunk_arrays`.

    Returns:
        The chunk's tensors, see `craft.craft`.

    Raises:
        UserError: the worker has other versions, or a gradient was not finite.
    """
    if _versions(order.cell) != order.versions:
        raise UserError(
            f"a worker has {_versions(order.cell)}, and this machine {order.versions}; install the same on all"
        )
    key = (order.weights, order.cell.compute, order.cell.attack.needs_original_network)
    if not _kept or _kept[0].key != key:
        _kept.clear()
        members: list[Model] = [_loaded(file, order.cell) for file in files]
        _kept.append(
            KeptModels(key, members, device_crafter.fit_batches(order.cell, members, chunk["images"], choose_device()))
        )
    work = device_crafter.Crafter(order.cell, _kept[0].members, chunk, choose_device(), _kept[0].fit)
    ((_, tensors),) = work.chunks([slice(0, len(chunk["index"]))])
    return tensors


def _loaded(file: Path | np.ndarray, cell: Cell) -> Model:
    if isinstance(file, Path):
        return load_member(cell, file, choose_device())
    with tempfile.TemporaryDirectory(prefix="crossfool-") as folder:
        path = Path(folder) / "weights.safetensors"
        with naming_file(path):
            path.write_bytes(file.data)
        return load_member(cell, path, choose_device())


def hand_out(
    parts: Sequence[slice],
    room: int,
    submit: Callable[[slice], Any],
    finished: Callable[[list[Any]], Iterable[Any]],
    cancel: Callable[[Any], object],
) -> Generator[tuple[slice, Any], None, None]:
    """Yield parts and their tasks as the tasks finish; submit at most `room` tasks at a time, none once closed.

    Args:
        parts: Parts of the subset to compute.
        room: How many tasks may wait or run at a time.
        submit: Submits the task of a part.
        finished: Waits until a task of a list is finished, and returns the finished ones.
        cancel: Cancels a task.
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
    """Make an error for an engine's library that is not installed, or cannot be imported for the reason in `error`."""
    reason = "" if error.name == library else f", which cannot be imported ({brief(error, 200)})"
    return UserError(f"CROSSFOOL_ENGINE needs {library}{reason}; pip install 'crossfool[cluster]'")
