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
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

import crossfool
from crossfool import timing
from crossfool.attacks import compose, gradients, losses
from crossfool.attacks.config import Attack
from crossfool.attacks.loop import Budget, Loss, attack, quantise
from crossfool.attacks.losses import Model
from crossfool.attacks.torchattack import catalogue
from crossfool.errors import UserError
from crossfool.models.inference import pixel_model
from crossfool.models.inference.batch_size import Fit, widest
from crossfool.models.inference.config import Compute
from crossfool.models.weights import registry
from crossfool.runtime import code
from crossfool.storage.clean_images import read_clean_images
from crossfool.storage.hashing import sha256
from crossfool.storage.tensors import TensorFile, tensor_writer, write_tensors

Tensors = Mapping[str, np.ndarray]  # what a cell or a chunk holds: `images`, and what `craft` says of the others
Found = Generator[tuple[slice, Tensors], None, None]
Chunks = Callable[[Sequence[slice], Callable[[int], object]], Found]
NO_SOURCE = "remove it from sources in params.yaml; it may stay in models, as a target"
LOOKED_AT = 8  # images, before a source is said to have no gradient
AHEAD = {"cuda": 1}  # chunks that are asked for before the last one is written; a kill loses them, too


@dataclass(frozen=True)
class Cell:
    """What a cell computes, and on what."""

    source: Mapping[str, Any]  # `sources.fingerprint`
    name: str
    attack: Attack
    compute: Compute
    subset: Path


def loaded(cell: Cell, path: Path, device: torch.device) -> pixel_model.Pixels:
    """A model of a cell's source, from its weights file, as the cell's attack wants it."""
    return pixel_model.load(path, device=device, compute=cell.compute, as_built=cell.attack.as_built)


class Engine(Protocol):
    """Who computes the chunks of a cell, if not this process."""

    kind: str  # of its workers' devices, cpu or cuda

    def chunks(self, cell: Cell, weights: Sequence[Path], parts: Sequence[slice]) -> Iterable[tuple[slice, Tensors]]:
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
) -> tuple[dict[str, Tensor], Tensor]:
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
        `images` (N,C,H,W) uint8; where the row asks for them `takes` (N,K,C,H,W) uint8, in the order of `row.takes`,
        and `floats` (N,C,H,W) float32, which `images` are rounded from; and which images had finite gradients
        throughout, (N,) bool.
    """
    x = images.float().contiguous(memory_format=torch.channels_last)
    model = losses.source(members, row.fusion)
    loss = losses.targeted(model, target_labels) if row.targeted else losses.untargeted(model, labels)
    finite = torch.ones(len(x), dtype=torch.bool, device=x.device)

    def counted(x: Tensor) -> Tensor:
        evaluated(len(x))
        return loss(x)

    takes: dict[tuple[int, int], Tensor] = {}

    def attacked(seed: int) -> Tensor:
        own = row.with_seed(seed)
        estimate = compose.estimate(own, ids, together)

        def watched(loss: Loss, x: Tensor) -> Tensor:
            gradient = estimate(loss, x)
            finite.logical_and_(gradient.isfinite().flatten(1).all(1))
            return gradient

        def each(step: int, x_adv: Tensor) -> None:
            if (seed, step) in row.takes:
                takes[seed, step] = quantise(x_adv, x, row.epsilon)

        budget = Budget(row.epsilon, row.steps, row.step_size)
        given = compose.loss(own, counted, ids)
        return attack(given, x, budget, estimate=watched, update=compose.update(own), each=each)

    x_adv = attacked(row.first_seed)
    for seed in (row.seeds or ())[1:]:
        attacked(seed)
    made = {"images": quantise(x_adv, x, row.epsilon)}
    if row.takes:
        made["takes"] = torch.stack([takes[take] for take in row.takes], 1)
    if row.quantisation:
        made["floats"] = x_adv
    return made, finite


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
) -> tuple[dict[str, Tensor], Tensor]:
    """As `craft`, with as many images and copies of them at a time as fit; another library's attack, all at once.

    Args:
        name: The source's.
    """
    if row.method is not None:
        from crossfool.attacks.torchattack import adapter  # and torchattack, which no other row needs

        return adapter.craft(
            members, row, images, labels, target_labels, ids, name, evaluated, architecture=registry.architecture(name)
        )

    def some(part: slice, together: int) -> tuple[dict[str, Tensor], Tensor]:
        own = images[part], labels[part], target_labels[part], ids[part]
        return craft(members, row, *own, evaluated, together=together)

    made, finite = zip(*fit.map(some, len(ids), row.copies), strict=True)
    return {name: torch.cat([one[name] for one in made]) for name in made[0]}, torch.cat(finite)


def run(cell: Cell, members: Sequence[Model], out: Path, *, device: torch.device, scratch: Path) -> None:
    """Compute a cell in this process, chunk by chunk, and write what `craft` makes of all images to `out`.

    Chunks that an earlier, killed run of the very same cell finished are taken from `scratch`.

    Raises:
        UserError: a gradient was not finite; names model and image.
    """
    subset = read_clean_images(cell.subset)
    work = Work(cell, members, subset, device, fit(cell, members, subset["images"], device))
    _run(cell, out, device.type, _named(device), scratch, work.chunks)


def run_elsewhere(cell: Cell, weights: Sequence[Path], out: Path, *, engine: Engine, scratch: Path) -> None:
    """As `run`, by an engine's workers: same bytes, whatever their number and the order in which they finish.

    Args:
        cell, out, scratch: As there.
        weights: The files of the source's models.
        engine: Who computes.
    """

    def chunks(parts: Sequence[slice], evaluated: Callable[[int], object]) -> Found:
        for part, made in engine.chunks(cell, weights, parts):
            evaluated((part.stop - part.start) * cell.attack.evaluated)
            yield part, made

    _run(cell, out, engine.kind, f"{type(engine).__name__}, {engine.kind}", scratch, chunks)


def _named(device: torch.device) -> str:
    """A device for who reads how long it took."""
    threads = torch.get_num_threads()
    cpu = f"CPU, {threads} thread{'s' if threads > 1 else ''}"
    return torch.cuda.get_device_name(device) if device.type == "cuda" else cpu


def _run(cell: Cell, out: Path, kind: str, by: str, scratch: Path, chunks: Chunks) -> None:
    """Write a cell's file of its chunks: those that lie in `scratch`, and what `chunks` computes of the others.

    How long these took is noted in `seconds` beside `scratch`.
    """
    images, about = read_clean_images(cell.subset)["images"], describe(cell)
    count, unmoved = len(images), 0
    with _own_folder(scratch, f"{cell.source['source']}-{cell.name}", _key(about, kind)) as folder:
        starts = range(0, count, cell.compute.chunk)
        parts = {start: slice(start, min(start + cell.compute.chunk, count)) for start in starts}
        paths = {start: folder / f"{start:08d}.safetensors" for start in starts}
        total, label = count * cell.attack.evaluated, f"{cell.source['source']} {cell.name}"
        left = [part for start, part in parts.items() if not _finished(paths[start])]
        computing, begun = sum(part.stop - part.start for part in left), time.perf_counter()
        done = total - computing * cell.attack.evaluated
        with (
            tqdm(total=total, initial=done, desc=label, unit="gradient") as progress,
            contextlib.closing(chunks(left, progress.update)) as computed,
        ):
            for part, made in computed:
                write_tensors(paths[part.start], made)
        taken = timing.Taken(about["params"], computing, round(time.perf_counter() - begun, 3), by)
        first = TensorFile(paths[0])
        shapes = {name: (first[name].dtype.name, (count, *first[name].shape[1:])) for name in first.names()}
        with tensor_writer(out, shapes, about) as writer:
            for start, path in paths.items():
                file = TensorFile(path)
                unmoved += int((file["images"] == images[parts[start]]).reshape(len(file["images"]), -1).all(1).sum())
                for name in shapes:
                    writer.append(name, file[name])
        shutil.rmtree(folder)
    if unmoved:
        print(f"{label}: {unmoved} of {count} images are as they were; {_why(cell.attack)}", file=sys.stderr)
    if computing:
        timing.note(scratch.with_name(timing.PLACE.name), cell.source["source"], cell.name, taken)


def _why(row: Attack) -> str:
    """Why an attack may leave images as they were."""
    if row.epsilon == 0:
        return "epsilon is 0"
    return "where a source is so sure of its answer that its gradient is zero, there is no way to go"


def _finished(path: Path) -> bool:
    """Whether a chunk's file is there, and what was written; a damaged one is computed again."""
    try:
        file = TensorFile(path)
        for name in file.names():
            file[name]
    except UserError:
        return False
    return True


@dataclass(frozen=True)
class _Chunk:
    """A chunk that a GPU may still be computing.

    Attributes:
        part: Its images' places in the subset.
        made: What `craft` made, in the computer's memory.
        finite: Which images had finite gradients throughout, (N,) bool, likewise.
        wait: Returns once both are there.
    """

    part: slice
    made: Mapping[str, Tensor]
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

    def chunks(self, parts: Sequence[slice], evaluated: Callable[[int], object] = lambda count: None) -> Found:
        """What `craft` makes of some parts of the subset, in order.

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
        try:
            made, finite = fitted(self.members, self.cell.attack, *own, self.fit, evaluated, name=name)
        except gradients.Underivable as error:
            raise UserError(f"{self.cell.name}: {self._underivable(part.start)}: {error}; {NO_SOURCE}") from error
        if self.device.type != "cuda":
            return _Chunk(part, {name: one.cpu() for name, one in made.items()}, finite.cpu(), lambda: None)
        fetched = {name: _fetched(one) for name, one in made.items()}, _fetched(finite)
        event = torch.cuda.Event()
        event.record()
        return _Chunk(part, *fetched, event.synchronize)

    def finish(self, chunk: _Chunk) -> tuple[slice, Tensors]:
        """A chunk's part and what was made of it, once it is computed; UserError if a gradient was not finite."""
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
        made = {name: one.contiguous().numpy() for name, one in chunk.made.items()}
        if self.cell.attack.epsilon > 0 and np.array_equal(made["images"], self.subset["images"][chunk.part]):
            self._refuse_flat()
        return chunk.part, made

    def _sent(self, name: str, part: slice) -> Tensor:
        """Some of the subset's values on the device; a GPU fetches them from pinned memory when it comes to it."""
        tensor = torch.from_numpy(np.array(self.subset[name][part]))
        if self.device.type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(self.device, non_blocking=True)

    def _refuse_flat(self) -> None:
        """Refuse a source whose answer no image alters; asked where an attack left its images as they were.

        Softmax may lose a gradient that logits have, so that the logits' is looked at.
        """
        x = self._sent("images", slice(0, max(1, min(LOOKED_AT, self.fit.size)))).float()
        for name, member in zip(self.cell.source["members"], self.members, strict=True):
            if not gradients.plain(lambda x, member=member: member(x).max(1).values, x).any():  # type: ignore[misc]
                raise UserError(
                    f"{self.cell.name}: the gradient of {name} is zero at all of {len(x)} images; {NO_SOURCE}"
                )

    def _underivable(self, place: int) -> str:
        """The member that torch cannot differentiate; the whole source where it can each of them."""
        x = self._sent("images", slice(place, place + 1)).float()
        for name, member in zip(self.cell.source["members"], self.members, strict=True):
            try:
                gradients.plain(lambda x, member=member: member(x).sum(1), x)  # type: ignore[misc]
            except gradients.Underivable:
                return str(name)
        return str(self.cell.source["source"])

    def _culprit(self, place: int) -> str:
        """The member whose gradient at a clean image is not finite; the whole source where it takes them all."""
        x, label = (self._sent(name, slice(place, place + 1)) for name in ("images", "labels"))
        for name, member in zip(self.cell.source["members"], self.members, strict=True):
            loss = losses.untargeted(losses.source([member], self.cell.attack.fusion), label)
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
        "seed": str(cell.attack.first_seed),
        "weights": json.dumps({name: member["sha256"] for name, member in cell.source["members"].items()}),
        "subset": sha256(cell.subset),
        "crossfool": crossfool.__version__,
        "torch": torch.__version__,
        **_takes(cell.attack),
        **_libraries(cell),
    }


def _takes(row: Attack) -> dict[str, str]:
    """What the images of `takes` are, for who reads the file without params.yaml."""
    found = [{"seed": seed, "step": step} for seed, step in row.takes]
    return {"takes": json.dumps(found)} if found else {}


def _libraries(cell: Cell) -> dict[str, str]:
    """Versions of the libraries whose networks the source is made of, and of the one whose attack it is."""
    names = {member["library"] for member in cell.source["members"].values()} - {"crossfool"}
    versions = {name: importlib.metadata.version(name) for name in sorted(names)}
    if cell.attack.method is not None:
        from crossfool.attacks.torchattack import adapter

        versions[catalogue.LIBRARY] = adapter.version()
    return versions


def _key(about: Mapping[str, str], kind: str) -> str:
    """A hash of all that a chunk's bytes depend on, this package's code and the kind of device included."""
    return hashlib.sha256(json.dumps([dict(about), kind, code()], sort_keys=True).encode()).hexdigest()[:16]


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
