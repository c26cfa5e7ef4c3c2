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

import contextlib
import functools
import glob
import logging
import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from crossfool import cells, signals
from crossfool.attacks.losses import Model
from crossfool.attacks.torchattack import catalogue
from crossfool.cells import Cell, Engine, Found, Tensors
from crossfool.errors import UserError, unknown, writing
from crossfool.models.inference.batch_size import Fit
from crossfool.runtime import code, device, end_with_parent, lacking_semaphores
from crossfool.storage.tensors import TensorFile, write_tensors

ENGINES = ("local", "ray", "slurm")
RETRIES = 10  # of a task whose worker or node died
DEATHS = 3  # of a share's Slurm jobs, one after the other, that finished no chunk
PATIENCE = 5.0  # seconds in which a Ray cluster has to answer
AHEAD = 2  # tasks a worker that wait in line, so that none is idle and the object store stays small
NAMES = ("images", "labels", "target_labels", "index")  # of the subset's tensors that a chunk needs


def chosen() -> Engine | None:
    """The engine that the environment asks for; None where this process is to compute.

    Raises:
        UserError: there is no such engine, number of workers or library.
    """
    name = os.environ.get("CROSSFOOL_ENGINE", "local")
    if name not in ENGINES:
        raise unknown("engine in CROSSFOOL_ENGINE", name, ENGINES)
    if name == "ray":
        return Ray()
    gpus = torch.cuda.device_count() if "CROSSFOOL_DEVICE" not in os.environ else 0
    count = _workers(default=max(1, gpus))
    if name == "slurm":
        return Slurm(count)
    return Processes(count, gpus) if count > 1 else None


def _workers(default: int) -> int:
    text = os.environ.get("CROSSFOOL_WORKERS", str(default))
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 10_000:
        raise UserError(f"CROSSFOOL_WORKERS is {text!r}, expected how many workers, 1 to 10000")
    return int(text)


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
        _kept.append(Kept(key, members, cells.fit(order.cell, members, chunk["images"], device())))
    kept = _kept[0]
    work = cells.Work(order.cell, kept.members, chunk, device(), kept.fit)
    ((_, made),) = work.chunks([slice(0, len(chunk["index"]))])
    return made


def _loaded(file: Path | np.ndarray, cell: Cell) -> Model:
    if isinstance(file, Path):
        return cells.loaded(cell, file, device())
    with tempfile.TemporaryDirectory(prefix="crossfool-") as folder:
        path = Path(folder) / "weights.safetensors"
        with writing(path):
            path.write_bytes(file.data)
        return cells.loaded(cell, path, device())


def _handed_out(
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


# Processes of this machine.


class Processes:
    """So many processes of this machine, each with a GPU, or its share of the cores."""

    def __init__(self, count: int, gpus: int) -> None:
        _share_memory("CROSSFOOL_WORKERS=1")
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
            handed_out = _handed_out(
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


def _share_memory(otherwise: str) -> None:
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


# A Ray cluster.


def _in_ray(order: Order, kind: str, chunk: Tensors, *files: np.ndarray) -> Tensors:
    """What a Ray task does. Ray shows a task its own GPU alone."""
    os.environ["CROSSFOOL_DEVICE"] = kind
    if kind == "cpu":
        torch.set_num_threads(1)
    return compute(order, files, chunk)


class Ray:
    """Tasks on a Ray cluster, each with a GPU where it has any, else with one core."""

    task = staticmethod(_in_ray)

    def __init__(self) -> None:
        try:
            import ray
        except ImportError as error:
            raise _missing("ray", error) from None
        self._ray = ray
        if not ray.is_initialized():
            if "RAY_ADDRESS" not in os.environ:  # its object store, too, lies there; it would try for a minute
                _share_memory("CROSSFOOL_ENGINE=local")
            try:
                _answers(os.environ.get("RAY_ADDRESS", ""))
                with signals.kept():
                    ray.init(log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
            except Exception as error:  # Ray raises many kinds
                reason = " ".join(str(error).split())[:200]
                where = os.environ.get("RAY_ADDRESS", "this machine")
                raise UserError(f"no Ray cluster at {where}: {reason}; see RAY_ADDRESS and `ray start`") from None
        gpus = ray.cluster_resources().get("GPU", 0)
        self.kind = "cuda" if gpus else "cpu"
        self._needs = {"num_gpus": 1, "num_cpus": 0} if gpus else {"num_cpus": 1}
        self._slots = int(gpus or ray.cluster_resources().get("CPU", 1))

    def chunks(self, cell: Cell, weights: Sequence[Path], parts: Sequence[slice]) -> Found:
        ray = self._ray
        subset, ordered = TensorFile(cell.subset), ray.put(order(cell))
        files = [ray.put(np.fromfile(path, np.uint8)) for path in weights] if parts else []
        task = ray.remote(max_retries=RETRIES, **self._needs)(self.task)
        handed_out = _handed_out(
            parts,
            AHEAD * self._slots,
            lambda part: task.remote(ordered, self.kind, arrays(subset, part), *files),
            lambda running: ray.wait(running)[0],
            lambda one: ray.cancel(one, force=True),
        )
        with contextlib.closing(handed_out):
            for part, done in handed_out:
                yield part, self._result(done)

    def _result(self, done: Any) -> Tensors:
        try:
            found: Tensors = self._ray.get(done)
            return found
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, (UserError, MemoryError, torch.OutOfMemoryError)):
                raise error.cause from None  # as a worker of this machine does: each is told in one line
            raise
        except self._ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[0][:200]
            raise UserError(
                f"a task was lost in spite of {RETRIES} retries ({reason}); finished chunks are kept: "
                "run `dvc repro` again"
            ) from None


def _answers(address: str) -> None:
    """OSError where nothing listens at host:port, which Ray would try for minutes; all else is Ray's to judge."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isascii() and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), PATIENCE).close()


# Slurm.


def _in_job(
    order: Order, kind: str, files: Sequence[Path], folder: Path, chunks: Mapping[str, Mapping[str, np.ndarray]]
) -> None:
    """What a Slurm job does: each chunk is written once computed; what is there already was, before a requeue."""
    os.environ["CROSSFOOL_DEVICE"] = kind
    for name, chunk in chunks.items():
        if not (folder / name).exists():
            write_tensors(folder / name, compute(order, files, chunk))


def _file(part: slice) -> str:
    """The name of a chunk's file."""
    return f"{part.start:08d}.safetensors"


class Slurm:
    """Jobs through submitit, which share this folder; each computes its share of the chunks."""

    task = staticmethod(_in_job)

    def __init__(self, count: int) -> None:
        try:
            import submitit
        except ImportError as error:
            raise _missing("submitit", error) from None
        self._submitit, self._count = submitit, count
        self._options = _options(os.environ.get("CROSSFOOL_SLURM", ""))
        gpus = any("gpu" in name or "gres" in name for name in self._options)
        self.kind = "cuda" if gpus else "cpu"

    def chunks(self, cell: Cell, weights: Sequence[Path], parts: Sequence[slice]) -> Found:
        if not parts:
            return
        subset, options = TensorFile(cell.subset), dict(self._options)
        folder = Path(".crossfool/slurm").absolute()
        folder.mkdir(parents=True, exist_ok=True)
        try:
            executor = self._submitit.AutoExecutor(folder, cluster=options.pop("cluster", None))
            executor.update_parameters(**{"name": "crossfool", **options})
        except (RuntimeError, NameError, TypeError, ValueError, AssertionError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"submitit: {reason}; see CROSSFOOL_SLURM") from None
        absolute, ordered = [path.absolute() for path in weights], order(cell)
        prefix = f"{cell.source['source']}-{cell.name}-"  # no other process computes this cell: `cells._own_folder`
        for left in folder.glob(f"{glob.escape(prefix)}*"):  # by a run that was killed
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=prefix, dir=folder, ignore_cleanup_errors=True) as name:
            finished = Path(name)

            def submit(share: Sequence[slice]) -> Any:
                chunks = {_file(part): arrays(subset, part) for part in share}
                return executor.submit(self.task, ordered, self.kind, absolute, finished, chunks)

            shares = [share for place in range(self._count) if (share := list(parts[place :: self._count]))]
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
    ) -> Found:
        """Chunks as jobs write them; what a job has left that was killed is given to a new one.

        Args:
            running: Job -> its share; both are changed: what is left of them.
            folder: Where jobs write.
            submit: Makes the job of a share.

        Raises:
            UserError: a job failed, or `DEATHS` of a share were killed and finished nothing.
        """
        deaths = dict.fromkeys(running, 0)
        while running:
            over = {job for job in running if job.done()}  # asked first: what they wrote is there
            there = {path.name for path in folder.iterdir()}
            for job, share in list(running.items()):
                for part in [part for part in share if _file(part) in there]:
                    share.remove(part)
                    deaths[job] = 0
                    file = TensorFile(folder / _file(part))
                    yield part, {name: np.array(file[name]) for name in file.names()}
                if job in over:
                    del running[job]
                    if share:
                        count = deaths.pop(job) + 1
                        self._refuse(job, count)
                        again = submit(share)
                        running[again], deaths[again] = share, count
            if running:
                time.sleep(1)

    def _refuse(self, job: Any, deaths: int) -> None:
        """Say why a job has left something of its share, unless it was killed and may be tried again."""
        error = job.exception()
        killed = not isinstance(error, self._submitit.core.utils.FailedJobError) or "Job not requeued" in str(error)
        if killed and deaths < DEATHS:
            return
        lines = str(error or "it ended, and its chunks are not there").strip().splitlines() or ["it was killed"]
        said = next((line.partition("UserError: ")[2] for line in lines if "UserError: " in line), "")
        raise UserError(
            said
            or f"job {job.job_id} failed: {lines[-1][:200]}; see {job.paths.stderr}; finished chunks are kept: "
            "run `dvc repro` again"
        )


def _options(text: str) -> dict[str, Any]:
    """submitit's options from "name=value name=value"; numbers where they look it."""
    found: dict[str, Any] = {}
    for item in text.split():
        name, equals, value = item.partition("=")
        if not name or not equals:
            raise UserError(f"CROSSFOOL_SLURM has {item!r}, expected name=value, as in timeout_min=60")
        found[name] = int(value) if value.isascii() and value.isdigit() else value
    return found


def _missing(library: str, error: ImportError) -> UserError:
    """An error for a library that is not there, or that cannot be imported, as its error says."""
    reason = "" if error.name == library else f", which cannot be imported ({' '.join(str(error).split())[:200]})"
    return UserError(f"CROSSFOOL_ENGINE needs {library}{reason}; pip install 'crossfool[cluster]'")
