"""Crafting one chunk after another on one device; a GPU computes while the chunk before is written."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from crossfool.attacks import gradients, losses
from crossfool.attacks.losses import Model
from crossfool.errors import UserError
from crossfool.models.inference.batch_size import Fit, widest
from crossfool.pipeline.crafting.cell import Cell, Found, Tensors
from crossfool.pipeline.crafting.craft import NO_SOURCE, fitted
from crossfool.storage.tensors import TensorFile

LOOKED_AT = 8  # images, before a source is said to have no gradient
AHEAD = {"cuda": 1}  # chunks that are asked for before the last one is written; a kill loses them, too


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
