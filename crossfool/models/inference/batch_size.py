"""How much goes through a model at once: halved whenever the device's memory runs out, never failing for size."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Result = TypeVar("Result")

# Images a backward pass gains from: two cores are busy with 8, a GPU with hundreds (and halves where they do not fit).
ROOM = {"cpu": 8, "cuda": 256}
LEAST = 2  # images of a pass, whatever their size: matrix products of one are too narrow
WIDE = 20 << 20  # bytes of a layer's output beyond which a CPU gains nothing from more images, and pays in memory


def widest(models: Iterable[Any], image: Tensor) -> int:
    """Bytes of the largest output that a layer of these models gives for one image (1,C,H,W), pixels 0..255."""
    sizes = [0]

    def look(layer: nn.Module, given: object, output: object) -> None:
        if isinstance(output, Tensor):
            sizes.append(output.nbytes)

    for model in models:
        layers = [layer for layer in model.modules() if not list(layer.children())]
        hooks = [layer.register_forward_hook(look) for layer in layers]
        with torch.inference_mode():
            model(image)
        for hook in hooks:
            hook.remove()
    return max(sizes)


class Fit:
    """Remembers how many images fit in a pass, so that memory runs out once and not at every chunk.

    Args:
        batch: Images of a chunk.
        device: Where they are computed; says how many copies of fewer images are worth stacking.
        widest: Bytes that `WIDE` is about, of one image; 0 where no limit is wanted.
    """

    def __init__(self, batch: int, device: torch.device, widest: int = 0) -> None:
        self.batch = batch
        self.size = max(batch, ROOM.get(device.type, batch))
        if widest:
            self.size = max(LEAST, min(self.size, WIDE // widest))

    def map(self, work: Callable[[slice, int], Result], count: int, copies: int = 1) -> list[Result]:
        """`work` of consecutive parts of `count` images, as large as they fit, in order.

        Args:
            work: Takes a part, and how many copies of it to stack in a pass.
            count: How many images there are.
            copies: How many copies of each image (noise samples) there are to compute, at most.

        Raises:
            torch.OutOfMemoryError: not even one image fits.
        """
        done: list[Result] = []
        start = 0
        while start < count:
            left, most = min(self.batch, count - start), min(self.batch, self.size)
            images = -(-left // -(-left // most))  # parts of equal size: 4 and 4 of 8, not 6 and 2
            part = slice(start, start + images)
            together = max(1, min(copies, self.size // images))
            try:
                done.append(work(part, together))
            except torch.OutOfMemoryError:
                if images * together == 1:
                    raise
                self.size = images * together // 2
            else:
                start = part.stop
                continue
            if torch.cuda.is_available():  # once the failed attempt's tensors are gone
                torch.cuda.empty_cache()
        return done
