"""How much goes through a model at once: halved whenever the device's memory runs out, never failing for size."""

from collections.abc import Callable
from typing import TypeVar

import torch

Result = TypeVar("Result")


class Fit:
    """Remembers how many images fit, so that memory runs out once and not at every chunk.

    Args:
        size: How many images to try at once.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def map(self, work: Callable[[slice], Result], count: int) -> list[Result]:
        """`work` of consecutive parts of `count` images, as large as they fit.

        Raises:
            torch.OutOfMemoryError: not even one image fits.
        """
        done: list[Result] = []
        start = 0
        while start < count:
            part = slice(start, min(start + self.size, count))
            try:
                done.append(work(part))
            except torch.OutOfMemoryError:
                if part.stop - part.start == 1:
                    raise
                self.size = (part.stop - part.start) // 2
            else:
                start = part.stop
                continue
            if torch.cuda.is_available():  # once the failed attempt's tensors are gone
                torch.cuda.empty_cache()
        return done
