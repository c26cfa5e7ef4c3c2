"""Compute tasks in Slurm jobs, through submitit and a shared folder."""

import glob
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from crossfool.errors import UserError, brief
from crossfool.pipeline.workers.task import ComputedTasks, Order, Task, Tensors
from crossfool.pipeline.workers.worker import compute, missing_library
from crossfool.storage.locks import locked
from crossfool.storage.tensors import TensorFile, write_tensors

MOST_KILLS = 3  # Slurm jobs in a row that were killed and finished no task of a share, before the run fails


@dataclass(frozen=True)
class _Piece:
    """A task of a job's share.

    Attributes:
        order: The task's order.
        files: Absolute paths of its files.
        arrays: Absolute path of the file of its arrays.
    """

    order: Order
    files: Sequence[Path]
    arrays: Path


def _compute_in_job(kind: str, folder: Path, pieces: Mapping[str, _Piece]) -> None:
    """Compute a job's tasks and write each to the folder once computed; skip those written before a requeue."""
    os.environ["CROSSFOOL_DEVICE"] = kind
    for name, piece in pieces.items():
        if not (folder / name).exists():
            write_tensors(folder / name, compute(piece.order, piece.files, _read(piece.arrays)))


def _read(path: Path) -> Tensors:
    """Read all tensors of a file into memory."""
    file = TensorFile(path)
    return {name: np.array(file[name]) for name in file.names()}


def _file(task: Task) -> str:
    """Name of the file of a task's tensors."""
    return f"{task.name}.safetensors"


def _shares(tasks: Sequence[Task], count: int) -> Iterator[list[Task]]:
    """Divide tasks into at most `count` shares of neighbours, so that a job loads few models."""
    count = min(count, len(tasks))
    for start, stop in pairwise(len(tasks) * place // count for place in range(count + 1)):
        yield list(tasks[start:stop])


class Slurm:
    """Slurm jobs through submitit, which share this folder; each job computes its share of the tasks."""

    task = staticmethod(_compute_in_job)

    def __init__(self, count: int) -> None:
        try:
            import submitit
        except ImportError as error:
            raise missing_library("submitit", error) from None
        self._submitit, self._count = submitit, count
        self._options = _options(os.environ.get("CROSSFOOL_SLURM", ""))
        gpus = any("gpu" in name or "gres" in name for name in self._options)
        self.kind = "cuda" if gpus else "cpu"

    def run(self, tasks: Sequence[Task], name: str) -> ComputedTasks:
        """Compute tasks in jobs, and yield each with its tensors as they are written.

        Raises:
            UserError: submitit refuses its options, or a job failed.
        """
        if not tasks:
            return
        options, folder = dict(self._options), Path(".crossfool/slurm").absolute()
        folder.mkdir(parents=True, exist_ok=True)
        try:
            executor = self._submitit.AutoExecutor(folder, cluster=options.pop("cluster", None))
            executor.update_parameters(**{"name": "crossfool", **options})
        except (RuntimeError, NameError, TypeError, ValueError, AssertionError) as error:
            raise UserError(f"submitit: {brief(error, 200)}; see CROSSFOOL_SLURM") from None
        with locked(folder / f"{name}.lock", name):
            for leftover in folder.glob(f"{glob.escape(name)}-*"):  # of a run that was killed
                shutil.rmtree(leftover, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=folder, ignore_cleanup_errors=True) as place:
                yield from self._computed(executor, tasks, Path(place))

    def _computed(self, executor: Any, tasks: Sequence[Task], folder: Path) -> ComputedTasks:
        """Submit jobs and yield tasks as `folder` gets their tensors; cancel the jobs at the end, however it comes."""
        paths: dict[int, Path] = {}  # tasks of equal arrays share a file

        def submit(share: Sequence[Task]) -> Any:
            pieces = {}
            for task in share:
                if id(task.arrays) not in paths:
                    paths[id(task.arrays)] = path = folder / "arrays" / f"{len(paths):08d}.safetensors"
                    write_tensors(path, task.arrays())
                files = [path.absolute() for path in task.files]
                pieces[_file(task)] = _Piece(task.order, files, paths[id(task.arrays)])
            return executor.submit(self.task, self.kind, folder, pieces)

        running: dict[Any, list[Task]] = {}
        try:
            for share in _shares(tasks, self._count):
                running[submit(share)] = share
            yield from self._collected(running, folder, submit)
        finally:
            for job in running:
                job.cancel()
            if executor.cluster == "local":  # they are our own child processes
                for job in running:
                    job.wait()

    def _collected(
        self, running: dict[Any, list[Task]], folder: Path, submit: Callable[[Sequence[Task]], Any]
    ) -> ComputedTasks:
        """Yield tasks as jobs write their tensors; give the rest of a killed job's share to a new job.

        Args:
            running: Job -> its share. Finished jobs and tasks are removed from both.
            folder: Where jobs write.
            submit: Submits a job for a share.

        Raises:
            UserError: a job failed, or `MOST_KILLS` of a share were killed and finished nothing.
        """
        deaths = dict.fromkeys(running, 0)
        while running:
            ended = {job for job in running if job.done()}  # asked first, so that all of their files are listed
            written = {path.name for path in folder.iterdir()}
            for job, share in list(running.items()):
                for task in [task for task in share if _file(task) in written]:
                    share.remove(task)
                    deaths[job] = 0
                    yield task, _read(folder / _file(task))
                if job in ended:
                    del running[job]
                    if share:
                        count = deaths.pop(job) + 1
                        self._raise_failure(job, count)
                        new_job = submit(share)
                        running[new_job], deaths[new_job] = share, count
            if running:
                time.sleep(1)

    def _raise_failure(self, job: Any, deaths: int) -> None:
        """Raise a `UserError` for a job that left tasks uncomputed, unless it was killed and may be tried again."""
        error = job.exception()
        killed = not isinstance(error, self._submitit.core.utils.FailedJobError) or "Job not requeued" in str(error)
        if killed and deaths < MOST_KILLS:
            return
        lines = str(error or "it ended, and its results are not there").strip().splitlines() or ["it was killed"]
        message = next((line.partition("UserError: ")[2] for line in lines if "UserError: " in line), "")
        raise UserError(
            message
            or f"job {job.job_id} failed: {brief(lines[-1], 200)}; see {job.paths.stderr}; what is finished is kept: "
            "run `dvc repro` again"
        )


def _options(text: str) -> dict[str, Any]:
    """Parse submitit's options from "name=value name=value"; values of digits become numbers."""
    options: dict[str, Any] = {}
    for item in text.split():
        name, equals, value = item.partition("=")
        if not name or not equals:
            raise UserError(f"CROSSFOOL_SLURM has {item!r}, expected name=value, as in timeout_min=60")
        options[name] = int(value) if value.isascii() and value.isdigit() else value
    return options
