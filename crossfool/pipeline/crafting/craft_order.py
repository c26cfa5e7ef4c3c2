"""The order of an attack cell's chunks: what a worker needs to craft them."""

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
from crossfool.pipeline.workers.task import Task, Tensors, WeightsFile
from crossfool.runtime import choose_device
from crossfool.storage.tensors import TensorFile

CHUNK_TENSORS = ("images", "labels", "target_labels", "index")  # tensors of the subset that a chunk needs


@dataclass(frozen=True)
class CraftOrder:
    """A cell, for a worker that may be on another machine.

    Attributes:
        cell: The cell; the worker does not read its subset.
        weights: Sha256 of each weights file.
        versions: Versions of this process's code and libraries; a worker refuses to compute with others.
    """

    cell: Cell
    weights: tuple[str, ...]
    versions: str

    def current_versions(self) -> str:
        """Versions of the code, torch and the library that the cell's attack comes from, in this process."""
        return _versions(self.cell)

    def compute_tensors(self, files: Sequence[WeightsFile], arrays: Tensors) -> Tensors:
        """Craft a chunk.

        Args:
            files: The source's weights files.
            arrays: Tensors of the subset, see `chunk_arrays`.

        Returns:
            The chunk's tensors, see `craft.craft`.

        Raises:
            UserError: a gradient was not finite.
        """

        def load() -> tuple[list[Model], Fit]:
            members: list[Model] = [load_source(file, self.cell) for file in files]
            return members, device_crafter.fit_batches(self.cell, members, arrays["images"], choose_device())

        key = ("craft", self.weights, self.cell.compute, self.cell.attack.needs_original_network)
        members, fit = worker.keep_models(key, load)
        work = device_crafter.Crafter(self.cell, members, arrays, choose_device(), fit)
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
    return {
        Task(order, tuple(weights), functools.partial(chunk_arrays, subset, part), f"{part.start:08d}"): part
        for part in parts
    }


def chunk_arrays(subset: TensorFile, part: slice) -> dict[str, np.ndarray]:
    """Copies of the subset's tensors `CHUNK_TENSORS`, for the images of a chunk."""
    return {name: np.array(subset[name][part]) for name in CHUNK_TENSORS}


def load_source(file: WeightsFile, cell: Cell) -> Model:
    """Load a model of a cell's source in a worker."""
    with worker.weights_path(file) as path:
        return load_member(cell, path, choose_device())


def _versions(cell: Cell) -> str:
    """Versions as `worker.versions` gives them, and that of the library that the cell's attack comes from."""
    if cell.attack.method is None:
        return worker.versions()
    adapter = importlib.import_module(attack_parts.ADAPTER)
    return f"{worker.versions()}, {catalogue.LIBRARY} {adapter.library_version()}"
