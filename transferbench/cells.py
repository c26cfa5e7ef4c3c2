"""A cell: one source, one attack, all images of the subset; computed in chunks that survive a kill.

A chunk is the unit of work and of resume. Its result depends on its images and the cell's parameters,
not on which other chunks were computed, in what order, or by whom.
"""

import contextlib
import fcntl
import glob
import hashlib
import importlib.metadata
import json
import shutil
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

import transferbench
from transferbench import gradients, methods, objectives, rows
from transferbench.artefacts import TensorFile, sha256, tensor_writer, write_tensors
from transferbench.attack import Budget, Loss, attack, quantise
from transferbench.errors import UserError
from transferbench.fitting import Fit, widest
from transferbench.objectives import Model
from transferbench.params import Attack, Compute

Chunks = Callable[[Sequence[slice], Callable[[int], object]], Generator[tuple[slice, np.ndarray], None, None]]
AHEAD = {"cuda": 1}  # chunks that are asked for before the last one is written; a kill loses them, too


@dataclass(frozen=True)
class Cell:
    """What a cell computes, and on what."""

    source: Mapping[str, Any]  # `sources.fingerprint`
    name: str
    attack: Attack
    compute: Compute
    subset: Path


class Engine(Protocol):
    """Who computes the chunks of a cell, if not this process."""

    kind: str  # of its workers' devices, cpu or cuda

    def chunks(self, cell: Cell, weights: Sequence[Path], parts: Sequence[slice]) -> Iterable[tuple[slice, np.ndarray]]:
        """Adversarial images of parts of the subset, in any order; see `Work.chunks`."""
        ...


def craft(
    members: Sequence[Model],
    row: Attack,
    images: Tensor,
    labels: Tensor,
    target_labels: Tensor,
    ids: Sequence[int],
    evaluated: Callable[[int], object] = lambda count: None,
    *,
    together: int = 1,
) -> tuple[Tensor, Tensor]:
    """Adversarial images of one chunk.

    Args:
        members: The source's models.
        row: The attack.
        images: (N,C,H,W) uint8.
        labels, target_labels: (N,) int64.
        ids: The images' ids in the data set, which the noise is drawn by.
        evaluated: Told how many gradients each pass evaluates.
        together: How many copies (noise samples, scales) of each image go through in one pass.

    Returns:
        Adversarial images (N,C,H,W) uint8, and which images had finite gradients throughout, (N,) bool.
    """
    x = images.float().contiguous(memory_format=torch.channels_last)
    model = objectives.source(members, row.fusion)
    loss = objectives.targeted(model, target_labels) if row.targeted else objectives.untargeted(model, labels)
    estimate = rows.estimate(row, ids, together)
    finite = torch.ones(len(x), dtype=torch.bool, device=x.device)

    def counted(x: Tensor) -> Tensor:
        evaluated(len(x))
        return loss(x)

    def watched(loss: Loss, x: Tensor) -> Tensor:
        gradient = estimate(loss, x)
        finite.logical_and_(gradient.isfinite().flatten(1).all(1))
        return gradient

    budget = Budget(row.epsilon, row.steps, row.step_size)
    x_adv = attack(rows.loss(row, counted, ids), x, budget, estimate=watched, update=rows.update(row))
    return quantise(x_adv, x, row.epsilon), finite


def fitted(
    members: Sequence[Model],
    row: Attack,
    images: Tensor,
    labels: Tensor,
    target_labels: Tensor,
    ids: Sequence[int],
    fit: Fit,
    evaluated: Callable[[int], object] = lambda count: None,
    *,
    name: str = "",
) -> tuple[Tensor, Tensor]:
    """As `craft`, with as many images and copies of them at a time as fit; another library's attack, all at once.

    Args:
        name: The source's.
    """
    if row.method is not None:
        from transferbench import adapter  # and torchattack, which no other row needs

        return adapter.craft(members, row, images, labels, target_labels, ids, name, evaluated)

    def some(part: slice, together: int) -> tuple[Tensor, Tensor]:
        own = images[part], labels[part], target_labels[part], ids[part]
        return craft(members, row, *own, evaluated, together=together)

    adversarial, finite = zip(*fit.map(some, len(ids), row.copies), strict=True)
    return torch.cat(adversarial), torch.cat(finite)


def run(cell: Cell, members: Sequence[Model], out: Path, *, device: torch.device, scratch: Path) -> None:
    """Compute a cell in this process, chunk by chunk, and write `images` (N,C,H,W) uint8 to `out`.

    Chunks that an earlier, killed run of the very same cell finished are taken from `scratch`.

    Raises:
        UserError: a gradient was not finite; names model and image.
    """
    subset = TensorFile(cell.subset)
    work = Work(cell, members, subset, device, fit(cell, members, subset["images"], device))
    _run(cell, out, device.type, scratch, work.chunks)


def run_elsewhere(cell: Cell, weights: Sequence[Path], out: Path, *, engine: Engine, scratch: Path) -> None:
    """As `run`, by an engine's workers: same bytes, whatever their number and the order in which they finish.

    Args:
        cell, out, scratch: As there.
        weights: The files of the source's models.
        engine: Who computes.
    """

    def chunks(
        parts: Sequence[slice], evaluated: Callable[[int], object]
    ) -> Generator[tuple[slice, np.ndarray], None, None]:
        for part, adversarial in engine.chunks(cell, weights, parts):
            evaluated((part.stop - part.start) * cell.attack.gradients)
            yield part, adversarial

    _run(cell, out, engine.kind, scratch, chunks)


def _run(cell: Cell, out: Path, kind: str, scratch: Path, chunks: Chunks) -> None:
    """Write a cell's file of its chunks: those that lie in `scratch`, and what `chunks` computes of the others."""
    shape, about = TensorFile(cell.subset)["images"].shape, describe(cell)
    with _own_folder(scratch, f"{cell.source['source']}-{cell.name}", _key(about, kind)) as folder:
        starts = range(0, shape[0], cell.compute.chunk)
        parts = {start: slice(start, min(start + cell.compute.chunk, shape[0])) for start in starts}
        paths = {start: folder / f"{start:08d}.safetensors" for start in starts}
        total, label = shape[0] * cell.attack.gradients, f"{cell.source['source']} {cell.name}"
        left = [part for start, part in parts.items() if not _finished(paths[start])]
        done = total - sum(part.stop - part.start for part in left) * cell.attack.gradients
        with (
            tqdm(total=total, initial=done, desc=label, unit="gradient") as progress,
            contextlib.closing(chunks(left, progress.update)) as computed,
        ):
            for part, adversarial in computed:
                write_tensors(paths[part.start], {"images": adversarial})
        with tensor_writer(out, {"images": ("uint8", shape)}, about) as writer:
            for path in paths.values():
                writer.append("images", TensorFile(path)["images"])
        shutil.rmtree(folder)


def _finished(path: Path) -> bool:
    """Whether a chunk's file is there, and what was written; a damaged one is computed again."""
    try:
        TensorFile(path)["images"]
    except UserError:
        return False
    return True


@dataclass(frozen=True)
class _Chunk:
    """A chunk that a GPU may still be computing.

    Attributes:
        part: Its images' places in the subset.
        adversarial: (N,C,H,W) uint8, in the computer's memory.
        finite: Which images had finite gradients throughout, (N,) bool, likewise.
        wait: Returns once both are there.
    """

    part: slice
    adversarial: Tensor
    finite: Tensor
    wait: Callable[[], object]


def _fetched(tensor: Tensor) -> Tensor:
    """A copy in pinned memory, which is there once the GPU has come to it."""
    return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)


def fit(cell: Cell, members: Sequence[Model], images: np.ndarray, device: torch.device) -> Fit:
    """How much of a cell's images (N,C,H,W) goes through its models at once."""
    # a GPU finds what fits by running out; looking at the layers of a compiled network would compile it again
    look = device.type == "cpu" and not cell.compute.compile
    limit = widest(members, torch.from_numpy(np.array(images[:1])).float()) if look else 0
    return Fit(cell.compute.chunk, device, limit)


@dataclass(frozen=True)
class Work:
    """What the chunks of a cell have in common.

    Attributes:
        cell: The cell.
        members: The source's models.
        subset: images (N,C,H,W) uint8, labels, target_labels and index (N,) int64: all of the subset, or some.
        device: The models'.
        fit: How much goes through them at once.
    """

    cell: Cell
    members: Sequence[Model]
    subset: TensorFile | Mapping[str, np.ndarray]
    device: torch.device
    fit: Fit

    def chunks(
        self, parts: Sequence[slice], evaluated: Callable[[int], object] = lambda count: None
    ) -> Generator[tuple[slice, np.ndarray], None, None]:
        """Adversarial images (n,C,H,W) uint8 of some parts of the subset, in order.

        Raises:
            UserError: a gradient was not finite.
        """
        begun: deque[_Chunk] = deque()
        for part in parts:
            begun.append(self.begin(part, evaluated))
            while len(begun) > AHEAD.get(self.device.type, 0):
                yield self.finish(begun.popleft())
        for chunk in begun:
            yield self.finish(chunk)

    def begin(self, part: slice, evaluated: Callable[[int], object] = lambda count: None) -> _Chunk:
        """Compute a chunk; a GPU is only asked to, so that it has work while the chunk before is written."""
        ids = self.subset["index"][part].tolist()
        images, labels, target_labels = (self._sent(name, part) for name in ("images", "labels", "target_labels"))
        own = images, labels, target_labels, ids
        name = self.cell.source["source"]
        adversarial, finite = fitted(self.members, self.cell.attack, *own, self.fit, evaluated, name=name)
        if self.device.type != "cuda":
            return _Chunk(part, adversarial.cpu(), finite.cpu(), lambda: None)
        fetched = _fetched(adversarial), _fetched(finite)
        event = torch.cuda.Event()
        event.record()
        return _Chunk(part, *fetched, event.synchronize)

    def finish(self, chunk: _Chunk) -> tuple[slice, np.ndarray]:
        """A chunk's part and adversarial images, once it is computed; UserError if a gradient was not finite."""
        chunk.wait()
        if not chunk.finite.all():
            place = chunk.part.start + int((~chunk.finite).nonzero()[0])
            method, source = self.cell.attack.method, self.cell.source["source"]
            if method is not None:
                raise UserError(
                    f"{self.cell.name}: a gradient of {method} from {source} is not finite at image "
                    f"{int(self.subset['index'][place])}; look at the model's weights and at the image"
                )
            raise UserError(
                f"{self.cell.name}: the gradient of {self._culprit(place)} is not finite at image "
                f"{int(self.subset['index'][place])}; look at the model's weights and at the image "
                "(subset/subset.csv names its file)"
            )
        return chunk.part, chunk.adversarial.contiguous().numpy()

    def _sent(self, name: str, part: slice) -> Tensor:
        """Some of the subset's values on the device; a GPU fetches them from pinned memory when it comes to it."""
        tensor = torch.from_numpy(np.array(self.subset[name][part]))
        if self.device.type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(self.device, non_blocking=True)

    def _culprit(self, place: int) -> str:
        """The member whose gradient at a clean image is not finite; the whole source where it takes them all."""
        x, label = (self._sent(name, slice(place, place + 1)) for name in ("images", "labels"))
        for name, member in zip(self.cell.source["members"], self.members, strict=True):
            loss = objectives.untargeted(objectives.source([member], self.cell.attack.fusion), label)
            if not gradients.plain(loss, x.float()).isfinite().all():
                return str(name)
        return str(self.cell.source["source"])


def describe(cell: Cell) -> dict[str, str]:
    """A cell's metadata: what was computed from what. Strings, as safetensors wants them."""
    return {
        "source": cell.source["source"],
        "attack": cell.name,
        "params": cell.attack.model_dump_json(exclude_none=True),
        "compute": cell.compute.model_dump_json(),
        "epsilon": f"{cell.attack.epsilon:g}",
        "seed": str(cell.attack.seed or 0),
        "weights": json.dumps({name: member["sha256"] for name, member in cell.source["members"].items()}),
        "subset": sha256(cell.subset),
        "transferbench": transferbench.__version__,
        "torch": torch.__version__,
        **_libraries(cell),
    }


def _libraries(cell: Cell) -> dict[str, str]:
    """Versions of the libraries whose networks the source is made of, and of the one whose attack it is."""
    names = {member["library"] for member in cell.source["members"].values()} - {"transferbench"}
    versions = {name: importlib.metadata.version(name) for name in sorted(names)}
    if cell.attack.method is not None:
        from transferbench import adapter

        versions[methods.LIBRARY] = adapter.version()
    return versions


def _key(about: Mapping[str, str], kind: str) -> str:
    """A hash of all that a chunk's bytes depend on, this package's code and the kind of device included."""
    return hashlib.sha256(json.dumps([dict(about), kind, code()], sort_keys=True).encode()).hexdigest()[:16]


def code() -> str:
    """A hash of this package's code."""
    digest = hashlib.sha256()
    for path in sorted(Path(transferbench.__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@contextlib.contextmanager
def _own_folder(scratch: Path, cell: str, key: str) -> Iterator[Path]:
    """The folder of a cell's chunks, which no other process works in meanwhile; chunks of other keys are stale."""
    scratch.mkdir(parents=True, exist_ok=True)
    with open(scratch / f"{cell}.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{cell} is being computed by another process; waiting for it", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        for stale in scratch.glob(f"{glob.escape(cell)}-*"):
            if stale.name != f"{cell}-{key}":
                shutil.rmtree(stale)
        folder = scratch / f"{cell}-{key}"
        folder.mkdir(exist_ok=True)
        yield folder
