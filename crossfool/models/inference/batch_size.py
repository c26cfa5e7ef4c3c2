"""Number of images that go through a model at once: halved whenever the device's memory runs out."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Result = TypeVar("Result")

# Images that a backward pass gains from: 8 keep two cores busy, hundreds a GPU (and halves where they do not fit).
ROOM = {"cpu": 8, "cuda": 256}
LEAST = 2  # images of a pass, whatever their size: matrix products of a single one are too narrow
WIDE = 20 << 20  # bytes of a layer's output beyond which a CPU gains nothing from more images, and pays in memory


def widest_output(models: Iterable[Any], image: Tensor) -> int:
    """Bytes of the largest output that a layer of these models gives for one image (1,C,H,W), pixels 0..255."""
    sizes = [0]

    def record(layer: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor):
            sizes.append(output.nbytes)

    for model in models:
        layers = [layer for layer in model.modules() if not list(layer.children())]
        hooks = [layer.register_forward_hook(record) for layer in layers]
        with torch.inference_mode():
            model(image)
        for hook in hooks:
            hook.remove()
    return max(sizes)


class Fit:
    """The number of images that fit in a pass, remembered so that memory runs out once and not at every chunk.

    Args:
        batch: Images of a chunk.
        device: Where the images are computed; decides how many copies of fewer images to stack.
        widest: Bytes of a layer's largest output for one image, which `WIDE` limits; 0 for no limit.
    """

    def __init__(self, batch: int, device: torch.device, widest: int = 0) -> None:
        self.batch = batch
        self.size = max(batch, ROOM.get(device.type, batch))
        if widest:
            self.size = max(LEAST, min(self.size, WIDE // widest))

    def map(self, work: Callable[[slice, int], Result], count: int, copies: int = 1) -> list[Result]:
        """Call `work` on consecutive parts of `count` images, each as large as fits; the results, in order.

        Args:
            work: Takes a part's slice, and how many copies of the part to stack in a pass.
            count: How many images there are.
            copies: How many copies of each image (noise samples) a pass may stack, at most.

        Raises:
            torch.OutOfMemoryError: not even one image fits.
        """
        results: list[Result] = []
        start = 0
        while start < count:
            chunk, most = min(self.batch, count - start), min(self.batch, self.size)
            images = -(-chunk // -(-chunk // most))  # parts of equal size: 4 and 4 of 8, not 6 and 2
            part = slice(start, start + images)
            stacked = max(1, min(copies, self.size // images))
            try:
                results.append(work(part, stacked))
            except torch.OutOfMemoryError:
                if images * stacked == 1:
                    raise
                self.size = images * stacked // 2
            else:
                start = part.stop
                continue
            if torch.cuda.is_available():  # once the failed attempt's tensors are gone
                torch.cuda.empty_cache()
        return results
