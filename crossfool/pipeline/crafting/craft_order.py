"""The order of an attack cell's chunks: what a worker needs to craft them."""

import contextlib
import functools
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crossfool.attacks import parts as attack_parts
from crossfool.attacks.torchattack import catalogue
from crossfool.attacks.types import Model
from crossfool.models.inference.batch_size import Fit
from crossfool.pipeline.crafting import device_crafter
from crossfool.pipeline.crafting.cell_inputs import Cell, load_member
from crossfool.pipeline.workers import worker
from crossfool.pipeline.workers.task import Task, TaskFile, Tensors
from crossfool.runtime import choose_device
from crossfool.storage.tensors import TensorFile

CHUNK_TENSORS = ("images", "labels", "target_labels", "index")  # tensors of the subset that a chunk needs


@dataclass(frozen=True)
class CraftOrder:
    """A cell, for a worker that may be on another machine.

    Attributes:
        cell: The cell; the path of its subset is not the worker's.
        weights: Sha256 of each weights file.
        versions: Versions of this process's code and libraries; a worker refuses to compute with others.
    """

    cell: Cell
    weights: tuple[str, ...]
    versions: str

    def current_versions(self) -> str:
        """Versions of the code, torch and the library that the cell's attack comes from, in this process."""
        return _versions(self.cell)

    def compute_tensors(self, files: Sequence[TaskFile], arrays: Tensors) -> Tensors:
        """Craft a chunk.

        Args:
            files: The source's weights files; behind them the subset's, where the attack `takes_pool`.
            arrays: Tensors of the subset, see `chunk_arrays`.

        Returns:
            The chunk's tensors, see `craft.craft`.

        Raises:
            UserError: a gradient was not finite.
        """

        weights, subset = files[: len(self.weights)], files[len(self.weights) :]

        def load() -> tuple[list[Model], Fit]:
            members: list[Model] = [load_source(file, self.cell) for file in weights]
            return members, device_crafter.fit_batches(self.cell, members, arrays["images"], choose_device())

        key = ("craft", self.weights, self.cell.compute, self.cell.attack.needs_original_network)
        members, fit = worker.keep_models(key, load)
        with contextlib.ExitStack() as stack:
            whole = TensorFile(stack.enter_context(worker.local_path(subset[0]))) if subset else None
            work = device_crafter.Crafter(self.cell, members, arrays, choose_device(), fit, whole)
            ((_, tensors),) = work.chunks([slice(0, len(arrays["index"]))])
        return tensors


def make_order(cell: Cell) -> CraftOrder:
    """Make the order of a cell, with the versions of this process."""
    return CraftOrder(cell, tuple(member["sha256"] for member in cell.source["members"].values()), _versions(cell))


def make_tasks(cell: Cell, weights: Sequence[Path], parts: Sequence[slice]) -> dict[Task, slice]:
    """Make a task for each part of a cell's subset: task -> its part.

    Args:
        cell: The cell.
        weights: Weights files of the source's models.
        parts: Parts of the subset.
    """
    subset, order = TensorFile(cell.subset), make_order(cell)
    files = (*weights, cell.subset) if cell.attack.takes_pool else tuple(weights)
    return {
        Task(order, files, functools.partial(chunk_arrays, subset, part), f"{part.start:08d}"): part for part in parts
    }


def chunk_arrays(subset: TensorFile, part: slice) -> dict[str, np.ndarray]:
    """Copies of the subset's tensors `CHUNK_TENSORS`, for the images of a chunk."""
    return {name: np.array(subset[name][part]) for name in CHUNK_TENSORS}


def load_source(file: TaskFile, cell: Cell) -> Model:
    """Load a model of a cell's source in a worker."""
    with worker.local_path(file) as path:
        return load_member(cell, path, choose_device())


def _versions(cell: Cell) -> str:
    """Versions as `worker.versions` gives them, and that of the library that the cell's attack comes from."""
    if cell.attack.method is None:
        return worker.versions()
    adapter = importlib.import_module(attack_parts.ADAPTER)
    return f"{worker.versions()}, {catalogue.LIBRARY} {adapter.library_version()}"
