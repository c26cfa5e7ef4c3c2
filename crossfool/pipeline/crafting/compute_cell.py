"""Write a cell's file from its chunks: those that an earlier, killed run finished are kept, the others computed."""

import contextlib
import glob
import hashlib
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from crossfool.attacks.config import Attack
from crossfool.attacks.types import Model
from crossfool.errors import UserError
from crossfool.pipeline.crafting import craft_order, timings
from crossfool.pipeline.crafting.cell_inputs import Cell, ComputedChunks, cell_metadata, unmoved
from crossfool.pipeline.crafting.device_crafter import Crafter, fit_batches
from crossfool.pipeline.workers.task import Engine
from crossfool.runtime import code_digest
from crossfool.storage.clean_images import read_clean_images
from crossfool.storage.locks import locked
from crossfool.storage.tensors import TensorFile, tensor_writer, write_tensors

ComputeChunks = Callable[
    [Sequence[slice], Callable[[int], object]], ComputedChunks
]  # of parts of the subset, see `Work.chunks`


def compute_here(cell: Cell, members: Sequence[Model], out: Path, *, device: torch.device, scratch: Path) -> None:
    """Compute a cell in this process, chunk by chunk, and write the tensors of all images to `out`.

    Chunks that an earlier, killed run of the very same cell finished are read from `scratch`.

    Raises:
        UserError: a gradient was not finite; names model and image. Or the source has no gradient.
    """
    subset = read_clean_images(cell.subset)
    work = Crafter(cell, members, subset, device, fit_batches(cell, members, subset["images"], device))
    _run(cell, out, device.type, _device_name(device), scratch, work.chunks)


def compute_with_engine(cell: Cell, weights: Sequence[Path], out: Path, *, engine: Engine, scratch: Path) -> None:
    """Compute a cell as `compute_here` does, by an engine's workers.

    The bytes are those of `compute_here`, whatever the number of workers and the order in which they finish.

    Args:
        cell: As for `compute_here`.
        out: As for `compute_here`.
        scratch: As for `compute_here`.
        weights: Weights files of the source's models.
        engine: The workers.
    """

    def chunks(parts: Sequence[slice], evaluated: Callable[[int], object]) -> ComputedChunks:
        tasks = craft_order.make_tasks(cell, weights, parts)
        with contextlib.closing(engine.run(list(tasks), f"{cell.source['source']}-{cell.name}")) as computed:
            for task, tensors in computed:
                part = tasks[task]
                evaluated((part.stop - part.start) * cell.attack.gradient_evaluations)
                yield part, tensors

    _run(cell, out, engine.kind, f"{type(engine).__name__}, {engine.kind}", scratch, chunks)


def _device_name(device: torch.device) -> str:
    """Name of a device, for the file of how long a cell took."""
    threads = torch.get_num_threads()
    cpu = f"CPU, {threads} thread{'s' if threads > 1 else ''}"
    return torch.cuda.get_device_name(device) if device.type == "cuda" else cpu


def _run(cell: Cell, out: Path, kind: str, by: str, scratch: Path, chunks: ComputeChunks) -> None:
    """Write a cell's file from its chunks: the finished ones in `scratch`, and the others as `chunks` computes them.

    How long these took is written to the folder `seconds` beside `scratch`.
    """
    images, metadata = read_clean_images(cell.subset)["images"], cell_metadata(cell)
    count, unmoved_count = len(images), 0
    with _locked_folder(scratch, f"{cell.source['source']}-{cell.name}", _key(metadata, kind)) as folder:
        starts = range(0, count, cell.compute.chunk)
        parts = {start: slice(start, min(start + cell.compute.chunk, count)) for start in starts}
        paths = {start: folder / f"{start:08d}.safetensors" for start in starts}
        total, label = count * cell.attack.gradient_evaluations, f"{cell.source['source']} {cell.name}"
        missing = [part for start, part in parts.items() if not _finished(paths[start])]
        computed_images, begun = sum(part.stop - part.start for part in missing), time.perf_counter()
        done = total - computed_images * cell.attack.gradient_evaluations
        with (
            tqdm(total=total, initial=done, desc=label, unit="gradient") as progress,
            contextlib.closing(chunks(missing, progress.update)) as computed,
        ):
            for part, tensors in computed:
                write_tensors(paths[part.start], tensors)
        timing = timings.Timing(metadata["params"], computed_images, round(time.perf_counter() - begun, 3), by)
        first = TensorFile(paths[0])
        shapes = {name: (first[name].dtype.name, (count, *first[name].shape[1:])) for name in first.names()}
        with tensor_writer(out, shapes, metadata) as writer:
            for start, path in paths.items():
                file = TensorFile(path)
                unmoved_count += int(unmoved(file["images"], images[parts[start]]).sum())
                for name in shapes:
                    writer.append(name, file[name])
        shutil.rmtree(folder)
    if unmoved_count:
        print(f"{label}: {unmoved_count} of {count} images are as they were; {_why(cell.attack)}", file=sys.stderr)
    if computed_images:
        timings.write_timing(scratch.with_name(timings.FOLDER.name), cell.source["source"], cell.name, timing)


def _why(row: Attack) -> str:
    """Reason why an attack may leave images unchanged, for the warning."""
    if row.epsilon == 0:
        return "epsilon is 0"
    return "where a source is so sure of its answer that its gradient is zero, there is no way to go"


def _finished(path: Path) -> bool:
    """Whether a chunk's file exists and is undamaged; a damaged one is computed again."""
    try:
        file = TensorFile(path)
        for name in file.names():
            file[name]
    except UserError:
        return False
    return True


def _key(metadata: Mapping[str, str], kind: str) -> str:
    """Hash of all that a chunk's bytes depend on, this package's code and the kind of device included."""
    return hashlib.sha256(json.dumps([dict(metadata), kind, code_digest()], sort_keys=True).encode()).hexdigest()[:16]


@contextlib.contextmanager
def _locked_folder(scratch: Path, cell: str, key: str) -> Iterator[Path]:
    """Folder of a cell's chunks, locked against other processes meanwhile; chunks of other keys are deleted."""
    scratch.mkdir(parents=True, exist_ok=True)
    with locked(scratch / f"{cell}.lock", cell):
        for stale in scratch.glob(f"{glob.escape(cell)}-*"):
            if stale.name != f"{cell}-{key}":
                shutil.rmtree(stale)
        folder = scratch / f"{cell}-{key}"
        folder.mkdir(exist_ok=True)
        yield folder
