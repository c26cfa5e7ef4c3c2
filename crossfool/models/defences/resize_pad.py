"""Random resizing and padding: to a random side, nearest neighbour, then with grey to a fixed side, at a random place.

The network then resizes the image to its native side. In the paper a fully convolutional network takes it as it is.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

DEFENCE = {
    "low": 2,
    "high": 1024,
    "unit": "side in pixels that images are padded to",
    "words": "random resizing and padding to {level:g} pixels",
    "whole": True,
    "exceeds_side": True,
    "combine": "mean",
    "cite": "Xie et al. 2018, arXiv 1711.01991",
}
_GREY = 127.5  # zero of the authors' code, whose pixels are -1..1


def defend(image: Tensor, level: float, generator: torch.Generator) -> Tensor:
    """Enlarge an image (C,H,W), pixels 0..255, to a side from its own to `level` - 1, and pad it to `level`."""
    padded = int(level)

    def draw(low: int, beyond: int) -> int:
        return int(torch.randint(low, beyond, (), generator=generator))

    side = draw(image.shape[-1], padded)
    left, top = draw(0, padded - side + 1), draw(0, padded - side + 1)
    resized = F.interpolate(image[None], size=(side, side), mode="nearest")[0]
    return F.pad(resized, (left, padded - side - left, top, padded - side - top), value=_GREY)
