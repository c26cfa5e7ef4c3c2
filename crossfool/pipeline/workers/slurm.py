"""Compute chunks in Slurm jobs, through submitit and a shared folder."""

import glob
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crossfool.errors import UserError, brief
from crossfool.pipeline.crafting.cell_inputs import Cell, ComputedChunks
from crossfool.pipeline.workers.worker import Order, chunk_arrays, compute_chunk, make_order, missing_library
from crossfool.storage.tensors import TensorFile, write_tensors

MOST_KILLS = 3  # Slurm jobs in a row that were killed and finished no chunk of a share, before the cell fails


def _compute_in_job(
    order: Order, kind: str, files: Sequence[Path], folder: Path, chunks: Mapping[str, Mapping[str, np.ndarray]]
) -> None:
    """Compute a job's chunks and write each to the folder once computed; skip those written before a requeue."""
    os.environ["CROSSFOOL_DEVICE"] = kind
    for name, chunk in chunks.items():
        if not (folder / name).exists():
            write_tensors(folder / name, compute_chunk(order, files, chunk))


def _file(part: slice) -> str:
    """Name of a chunk's file."""
    return f"{part.start:08d}.safetensors"


class Slurm:
    """Slurm jobs through submitit, which share this folder; each job computes its share of the chunks."""

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

    def chunks(self, cell: Cell, weights: Sequence[Path], parts: Sequence[slice]) -> ComputedChunks:
        """Compute parts of the subset in jobs, and yield each part and its tensors as they are written.

        Raises:
            UserError: submitit refuses its options, or a job failed.
        """
        if not parts:
            return
        subset, options = TensorFile(cell.subset), dict(self._options)
        folder = Path(".crossfool/slurm").absolute()
        folder.mkdir(parents=True, exist_ok=True)
        try:
            executor = self._submitit.AutoExecutor(folder, cluster=options.pop("cluster", None))
            executor.update_parameters(**{"name": "crossfool", **options})
        except (RuntimeError, NameError, TypeError, ValueError, AssertionError) as error:
            raise UserError(f"submitit: {brief(error, 200)}; see CROSSFOOL_SLURM") from None
        files, cell_order = [path.absolute() for path in weights], make_order(cell)
        prefix = f"{cell.source['source']}-{cell.name}-"  # no other process computes this cell: `chunks` locks it
        for leftover in folder.glob(f"{glob.escape(prefix)}*"):  # of a run that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=prefix, dir=folder, ignore_cleanup_errors=True) as name:
            finished = Path(name)

            def submit(share: Sequence[slice]) -> Any:
                chunks = {_file(part): chunk_arrays(subset, part) for part in share}
                return executor.submit(self.task, cell_order, self.kind, files, finished, chunks)

            shares = [share for job in range(self._count) if (share := list(parts[job :: self._count]))]
            running = {submit(share): share for share in shares}
            try:
                yield from self._collected(running, finished, submit)
            finally:
                for job in running:
                    job.cancel()
                if executor.cluster == "local":  # they are our own child processes
                    for job in running:
                        job.wait()

    def _collected(
        self, running: dict[Any, list[slice]], folder: Path, submit: Callable[[Sequence[slice]], Any]
    ) -> ComputedChunks:
        """Yield chunks as jobs write them; give the rest of a killed job's share to a new job.

        Args:
            running: Job -> its share. Finished jobs and chunks are removed from both.
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
                for part in [part for part in share if _file(part) in written]:
                    share.remove(part)
                    deaths[job] = 0
                    file = TensorFile(folder / _file(part))
                    yield part, {name: np.array(file[name]) for name in file.names()}
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
        """Raise a `UserError` for a job that left chunks uncomputed, unless it was killed and may be tried again."""
        error = job.exception()
        killed = not isinstance(error, self._submitit.core.utils.FailedJobError) or "Job not requeued" in str(error)
        if killed and deaths < MOST_KILLS:
            return
        lines = str(error or "it ended, and its chunks are not there").strip().splitlines() or ["it was killed"]
        message = next((line.partition("UserError: ")[2] for line in lines if "UserError: " in line), "")
        raise UserError(
            message
            or f"job {job.job_id} failed: {brief(lines[-1], 200)}; see {job.paths.stderr}; finished chunks are kept: "
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
