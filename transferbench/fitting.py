"""How much goes through a model at once: halved whenever the device's memory runs out, never failing for size."""

from collections.abc import Callable
from typing import TypeVar

import torch

Result = TypeVar("Result")

# Images a backward pass gains from: two cores are busy with 8, a GPU with hundreds (and halves where they do not fit).
ROOM = {"cpu": 8, "cuda": 256}


class Fit:
    """Remembers how many images fit in a pass, so that memory runs out once and not at every chunk.

    Args:
        batch: Images of a chunk.
        device: Where they are computed; says how many copies of fewer images are worth stacking.
    """

    def __init__(self, batch: int, device: torch.device) -> None:
        self.batch = batch
        self.size = max(batch, ROOM.get(device.type, batch))

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
            part = slice(start, min(start + self.batch, start + self.size, count))
            images = part.stop - part.start
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
