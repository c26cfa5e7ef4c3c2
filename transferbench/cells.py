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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

import transferbench
from transferbench import gradients, objectives, updates
from transferbench.artefacts import TensorFile, sha256, tensor_writer, write_tensors
from transferbench.attack import Budget, Estimate, Loss, attack, quantise
from transferbench.errors import UserError
from transferbench.fitting import Fit, widest
from transferbench.objectives import Model
from transferbench.params import Attack, Compute

AHEAD = {"cuda": 1}  # chunks that are asked for before the last one is written; a kill loses them, too


@dataclass(frozen=True)
class Cell:
    """What a cell computes, and on what."""

    source: Mapping[str, Any]  # `sources.fingerprint`
    name: str
    attack: Attack
    compute: Compute
    subset: Path


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
        together: How many noise samples of each image go through in one pass.

    Returns:
        Adversarial images (N,C,H,W) uint8, and which images had finite gradients throughout, (N,) bool.
    """
    x = images.float().contiguous(memory_format=torch.channels_last)
    model = objectives.source(members, row.fusion)
    loss = objectives.targeted(model, target_labels) if row.targeted else objectives.untargeted(model, labels)
    estimate: Estimate = gradients.plain
    if row.gradient == "smoothed":
        assert row.samples is not None and row.sigma is not None
        estimate = gradients.smoothed(row.samples, gradients.gaussian(row.seed or 0, ids, row.sigma), together)
    finite = torch.ones(len(x), dtype=torch.bool, device=x.device)

    def counted(x: Tensor) -> Tensor:
        evaluated(len(x))
        return loss(x)

    def watched(loss: Loss, x: Tensor) -> Tensor:
        gradient = estimate(loss, x)
        finite.logical_and_(gradient.isfinite().flatten(1).all(1))
        return gradient

    update = updates.momentum(row.decay) if row.decay is not None else updates.sign
    x_adv = attack(counted, x, Budget(row.epsilon, row.steps, row.step_size), estimate=watched, update=update)
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
) -> tuple[Tensor, Tensor]:
    """As `craft`, with as many images and noise samples at a time as fit."""

    def some(part: slice, together: int) -> tuple[Tensor, Tensor]:
        own = images[part], labels[part], target_labels[part], ids[part]
        return craft(members, row, *own, evaluated, together=together)

    adversarial, finite = zip(*fit.map(some, len(ids), row.samples or 1), strict=True)
    return torch.cat(adversarial), torch.cat(finite)


def run(cell: Cell, members: Sequence[Model], out: Path, *, device: torch.device, scratch: Path) -> None:
    """Compute a cell, chunk by chunk, and write `images` (N,C,H,W) uint8 to `out`.

    Chunks that an earlier, killed run of the very same cell finished are taken from `scratch`.

    Raises:
        UserError: a gradient was not finite; names model and image.
    """
    subset = TensorFile(cell.subset)
    images, about = subset["images"], describe(cell)
    # a GPU finds what fits by running out; looking at the layers of a compiled network would compile it again
    look = device.type == "cpu" and not cell.compute.compile
    limit = widest(members, torch.from_numpy(np.array(images[:1])).float()) if look else 0
    work = _Work(cell, members, subset, device, Fit(cell.compute.chunk, device, limit))
    with _own_folder(scratch, f"{cell.source['source']}-{cell.name}", _key(about, device)) as folder:
        paths = {start: folder / f"{start:08d}.safetensors" for start in range(0, len(images), cell.compute.chunk)}
        total, label = len(images) * cell.attack.gradients, f"{cell.source['source']} {cell.name}"
        begun: deque[_Chunk] = deque()
        with tqdm(total=total, desc=label, unit="gradient") as progress:
            for start, path in paths.items():
                part = slice(start, min(start + cell.compute.chunk, len(images)))
                if _finished(path):
                    progress.update((part.stop - part.start) * cell.attack.gradients)
                    continue
                begun.append(work.begin(part, path, progress.update))
                while len(begun) > AHEAD.get(device.type, 0):
                    work.write(begun.popleft())
            for chunk in begun:
                work.write(chunk)
        with tensor_writer(out, {"images": ("uint8", images.shape)}, about) as writer:
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
        path: Of its file.
        part: Its images' places in the subset.
        adversarial: (N,C,H,W) uint8, in the computer's memory.
        finite: Which images had finite gradients throughout, (N,) bool, likewise.
        wait: Returns once both are there.
    """

    path: Path
    part: slice
    adversarial: Tensor
    finite: Tensor
    wait: Callable[[], object]


def _fetched(tensor: Tensor) -> Tensor:
    """A copy in pinned memory, which is there once the GPU has come to it."""
    return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)


@dataclass(frozen=True)
class _Work:
    """What the chunks of a cell have in common."""

    cell: Cell
    members: Sequence[Model]
    subset: TensorFile
    device: torch.device
    fit: Fit

    def begin(self, part: slice, path: Path, evaluated: Callable[[int], object] = lambda count: None) -> _Chunk:
        """Compute a chunk; a GPU is only asked to, so that it has work while the chunk before is written."""
        ids = self.subset["index"][part].tolist()
        images, labels, target_labels = (self._sent(name, part) for name in ("images", "labels", "target_labels"))
        own = images, labels, target_labels, ids
        adversarial, finite = fitted(self.members, self.cell.attack, *own, self.fit, evaluated)
        if self.device.type != "cuda":
            return _Chunk(path, part, adversarial.cpu(), finite.cpu(), lambda: None)
        fetched = _fetched(adversarial), _fetched(finite)
        event = torch.cuda.Event()
        event.record()
        return _Chunk(path, part, *fetched, event.synchronize)

    def write(self, chunk: _Chunk) -> None:
        """Write a chunk's file once it is computed; UserError if a gradient was not finite."""
        chunk.wait()
        if not chunk.finite.all():
            place = chunk.part.start + int((~chunk.finite).nonzero()[0])
            raise UserError(
                f"{self.cell.name}: the gradient of {self._culprit(place)} is not finite at image "
                f"{int(self.subset['index'][place])}; look at the model's weights and at the image "
                "(subset/subset.csv names its file)"
            )
        write_tensors(chunk.path, {"images": chunk.adversarial.contiguous().numpy()})

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
    """Versions of the libraries whose networks the source is made of."""
    names = {member["library"] for member in cell.source["members"].values()} - {"transferbench"}
    return {name: importlib.metadata.version(name) for name in sorted(names)}


def _key(about: Mapping[str, str], device: torch.device) -> str:
    """A hash of all that a chunk's bytes depend on, this package's code and the kind of device included."""
    digest = hashlib.sha256(json.dumps([dict(about), device.type], sort_keys=True).encode())
    package = Path(transferbench.__file__).parent
    for path in sorted(package.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


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
