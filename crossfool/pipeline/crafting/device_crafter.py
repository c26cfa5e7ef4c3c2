"""Craft the chunks of a cell one after another on one device; a GPU computes while the chunk before is written."""

import functools
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from crossfool.attacks import backward, fusion
from crossfool.attacks.chunk import Chunk, Pool
from crossfool.attacks.types import Model
from crossfool.errors import UserError
from crossfool.models.inference.batch_size import Fit, widest_output
from crossfool.pipeline.crafting.cell_inputs import Cell, ComputedChunks, Tensors, unmoved
from crossfool.pipeline.crafting.craft import REMOVE_SOURCE, craft_in_batches
from crossfool.storage.tensors import TensorFile

_PROBED = 8  # images on which all gradients are zero, before a source is refused
CHUNKS_AHEAD = {"cuda": 1}  # device type -> chunks begun before the last one is written; a kill loses them, too


@dataclass(frozen=True)
class _StartedChunk:
    """A chunk that a GPU may still be computing.

    Attributes:
        part: Places of the chunk's images in the subset.
        crafted: The tensors that `craft` returns, in the computer's memory.
        finite: Which images had finite gradients throughout, (N,) bool, in the computer's memory.
        wait: Returns once both have arrived.
    """

    part: slice
    crafted: Mapping[str, Tensor]
    finite: Tensor
    wait: Callable[[], object]


def _to_pinned(tensor: Tensor) -> Tensor:
    """Copy a tensor to pinned memory; the copy is complete once the GPU has reached it."""
    return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)


def fit_batches(cell: Cell, members: Sequence[Model], images: np.ndarray, device: torch.device) -> Fit:
    """Batch size for a cell's images (N,C,H,W) and its models, from the memory of the device."""
    # a GPU finds the size by running out of memory; looking at the layers of a compiled network would compile it again
    look = device.type == "cpu" and not cell.compute.compile
    limit = widest_output(members, torch.from_numpy(np.array(images[:1])).float()) if look else 0
    return Fit(cell.compute.chunk, device, limit)


@dataclass(frozen=True)
class Crafter:
    """Craft chunks of a cell on one device.

    Attributes:
        cell: The cell.
        members: The source's models.
        subset: images (N,C,H,W) uint8, labels, target_labels and index (N,) int64: of the whole subset, or of a part.
        device: The device of the models.
        fit: How many images go through the models at once.
        whole: The tensors of the whole subset, where `subset` is a part of it and the attack `takes_pool`.
    """

    cell: Cell
    members: Sequence[Model]
    subset: TensorFile | Mapping[str, np.ndarray]
    device: torch.device
    fit: Fit
    whole: TensorFile | Mapping[str, np.ndarray] | None = None

    def chunks(self, parts: Sequence[slice], evaluated: Callable[[int], object] = lambda count: None) -> ComputedChunks:
        """Craft parts of the subset, and yield each part and the tensors that `craft` returns, in order.

        Raises:
            UserError: a gradient was not finite.
        """
        pending: deque[_StartedChunk] = deque()
        for part in parts:
            pending.append(self.begin(part, evaluated))
            while len(pending) > CHUNKS_AHEAD.get(self.device.type, 0):
                yield self.finish(pending.popleft())
        for chunk in pending:
            yield self.finish(chunk)

    def begin(self, part: slice, evaluated: Callable[[int], object] = lambda count: None) -> _StartedChunk:
        """Compute a chunk; on a GPU only start to, so that the GPU has work while the chunk before is written."""
        images, labels, target_labels = (self._to_device(name, part) for name in ("images", "labels", "target_labels"))
        chunk = Chunk(images, labels, target_labels, self.subset["index"][part].tolist(), self._pool)
        source = self.cell.source["source"]
        try:
            crafted, finite = craft_in_batches(self.members, self.cell.attack, chunk, self.fit, evaluated, name=source)
        except backward.NotDifferentiable as error:
            raise UserError(
                f"{self.cell.name}: {self._not_differentiable(part.start)}: {error}; {REMOVE_SOURCE}"
            ) from error
        if self.device.type != "cuda":
            arrived = {name: tensor.cpu() for name, tensor in crafted.items()}
            return _StartedChunk(part, arrived, finite.cpu(), lambda: None)
        pinned = {name: _to_pinned(tensor) for name, tensor in crafted.items()}, _to_pinned(finite)
        event = torch.cuda.Event()
        event.record()
        return _StartedChunk(part, *pinned, event.synchronize)

    def finish(self, chunk: _StartedChunk) -> tuple[slice, Tensors]:
        """Wait for a chunk; return its part of the subset and its tensors.

        Raises:
            UserError: a gradient was not finite, or the attack moved no image and the source has no gradient.
        """
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
                f"{self.cell.name}: the gradient of {self._not_finite(place)} is not finite at image "
                f"{int(self.subset['index'][place])}; look at the model's weights and at the image "
                "(subset/subset.csv names its file)"
            )
        arrays = {name: tensor.contiguous().numpy() for name, tensor in chunk.crafted.items()}
        if self.cell.attack.epsilon > 0 and unmoved(arrays["images"], self.subset["images"][chunk.part]).all():
            self._refuse_zero_gradient()
        return chunk.part, arrays

    @functools.cached_property
    def _pool(self) -> Pool | None:
        """The whole subset, where the attack draws from it."""
        whole = self.subset if self.whole is None else self.whole
        return Pool(whole["images"], whole["labels"], whole["index"]) if self.cell.attack.takes_pool else None

    def _to_device(self, name: str, part: slice) -> Tensor:
        """Send a part of a tensor of the subset to the device; a GPU copies it from pinned memory in its own time."""
        tensor = torch.from_numpy(np.array(self.subset[name][part]))
        if self.device.type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(self.device, non_blocking=True)

    def _refuse_zero_gradient(self) -> None:
        """Refuse a source whose gradient is zero; called where an attack left all images of a chunk unchanged.

        Softmax may lose a gradient that logits have, so the gradient of the greatest logit is computed.
        """
        x = self._to_device("images", slice(0, max(1, min(_PROBED, self.fit.size)))).float()
        for name, member in zip(self.cell.source["members"], self.members, strict=True):
            if not backward.plain(lambda x, member=member: member(x).max(1).values, x).any():  # type: ignore[misc]
                raise UserError(
                    f"{self.cell.name}: the gradient of {name} is zero at all of {len(x)} images; {REMOVE_SOURCE}"
                )

    def _not_differentiable(self, place: int) -> str:
        """Name of the member that torch cannot differentiate; of the whole source where it can differentiate each."""
        x = self._to_device("images", slice(place, place + 1)).float()
        for name, member in zip(self.cell.source["members"], self.members, strict=True):
            try:
                backward.plain(lambda x, member=member: member(x).sum(1), x)  # type: ignore[misc]
            except backward.NotDifferentiable:
                return str(name)
        return str(self.cell.source["source"])

    def _not_finite(self, place: int) -> str:
        """Name of the member whose gradient at a clean image is not finite; of the source where each is finite."""
        x, label = (self._to_device(name, slice(place, place + 1)) for name in ("images", "labels"))
        for name, member in zip(self.cell.source["members"], self.members, strict=True):
            source = fusion.source_log_probabilities([member], self.cell.attack.fusion)
            if not backward.plain(lambda x, source=source: source(x)[:, int(label)], x.float()).isfinite().all():  # type: ignore[misc]
                return str(name)
        return str(self.cell.source["source"])
