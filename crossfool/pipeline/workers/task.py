"""Tasks that engines run, each with an order that a worker carries out, files and arrays.

An engine knows neither attacks nor predictions: `crafting.craft_order` and `evaluation.predict_order` make orders.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

Tensors = Mapping[str, np.ndarray]  # name -> array; uint8, int64 or float32
TaskFile = Path | np.ndarray  # a path, or the file's bytes (n,) uint8


class Order(Protocol):
    """Instructions that tasks share, for a worker that may be on another machine; small, and can be pickled."""

    @property
    def versions(self) -> str:
        """Versions of the code and libraries of the process that made the order."""
        ...

    def current_versions(self) -> str:
        """Versions of the code and libraries of the process that calls this method."""
        ...

    def compute_tensors(self, files: Sequence[TaskFile], arrays: Tensors) -> Tensors:
        """Compute a task's tensors from its files and arrays, on this worker's device."""
        ...


@dataclass(frozen=True, eq=False)
class Task:
    """A piece of work that one worker does at a time.

    Attributes:
        order: The order; tasks that share it share the object.
        files: Files that the order needs, such as weights; tasks that share one name the same path.
        arrays: Reads the task's arrays when it is handed out; tasks of equal arrays share the object.
        name: A file name without suffix, which no other task of a run has.
    """

    order: Order
    files: tuple[Path, ...]
    arrays: Callable[[], Tensors]
    name: str


ComputedTasks = Generator[tuple[Task, Tensors], None, None]  # each task and its tensors, as tasks finish


class Engine(Protocol):
    """Workers that compute tasks in place of this process."""

    kind: str  # of the workers' devices, cpu or cuda

    def run(self, tasks: Sequence[Task], name: str) -> ComputedTasks:
        """Compute tasks, in any order, and yield each with its tensors as it finishes; closing cancels the others.

        Args:
            tasks: The tasks; those that need the same models lie together, so that workers seldom load any.
            name: A file name for what the engine keeps meanwhile, without `-` at its end.

        Raises:
            UserError: a worker died or was refused, or a task raised it.
        """
        ...
