"""Winograd convolutions: 3x3 kernels of many channels, 16 multiplications for the definition's 36, on the CPU.

F(2x2, 3x3) of Lavin and Gray (arXiv 1509.09308): an output tile of 2x2 is A'[(G w G') * (B' d B)]A of the 4x4 input
tile d, and the products, summed over channels, are sixteen matrix products. Exact up to rounding, which is about that
of the direct way: the factors of A and B are 1 and -1, those of G 1 and 1/2. The transforms cost a pass over memory
each, so it pays for many channels alone. The backward pass is the same with the kernel turned around, whose transform
is the kernel's with its first and last rows and columns exchanged: both directions share one copy of the weights.
"""

import torch
from torch import Tensor

LEAST = 256  # channels in and out from which it pays
SIDE = 14  # and pixels of a side
ROOM = 32 << 20  # bytes of transformed input at a time
FORWARD, BACKWARD = (0, 1, 2, 3), (3, 1, 2, 0)  # where the kernel's transformed rows and columns lie


class Winograd:
    """A convolution with a kernel (O,C,3,3), stride 1, padding 1; no bias."""

    def __init__(self, weight: Tensor) -> None:
        g = torch.tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], dtype=torch.float64)
        self.weight = weight.new_empty(16, weight.shape[1], weight.shape[0])
        for kernels, transformed in zip(weight.split(LEAST // 4), self.weight.split(LEAST // 4, 2), strict=True):
            transformed.copy_(torch.einsum("ai,ocij,bj->abco", g, kernels.double(), g).flatten(0, 1))

    @staticmethod
    def pays(weight: Tensor, side: int) -> bool:
        """Whether Winograd is faster than the direct way, for a kernel (O,C,H,W) and images of a side in pixels."""
        return weight.shape[2:] == (3, 3) and min(weight.shape[:2]) >= LEAST and side >= SIDE and side % 2 == 0

    def forward(self, x: Tensor) -> Tensor:
        """The output (N,O,H,W) of an input (N,C,H,W), channels last."""
        return self._pieces(x, self.weight, FORWARD)

    def backward(self, gradient: Tensor) -> Tensor:
        """The gradient (N,C,H,W) of the input, from that of the output (N,O,H,W)."""
        return self._pieces(gradient, self.weight.transpose(1, 2), BACKWARD)

    def _pieces(self, x: Tensor, weight: Tensor, order: tuple[int, ...]) -> Tensor:
        """Convolve a few images at a time, so that the transformed input takes at most `ROOM` bytes.

        Args:
            x: (N,C,H,W).
            weight: Transformed kernels (16,C,O).
            order: `FORWARD` or `BACKWARD`: where the kernel's transformed rows and columns lie.
        """
        count, channels, height, width = x.shape
        tall, wide = -(-height // 2), -(-width // 2)
        # no view of other memory: torch lets nobody alter such an output of a function of our own in place
        shape = (count, weight.shape[2], 2 * tall, 2 * wide)
        images = torch.empty(shape, dtype=x.dtype, memory_format=torch.channels_last)
        out = images.permute(0, 2, 3, 1).view(count, tall, 2, wide, 2, weight.shape[2])
        batch = max(1, ROOM // (16 * tall * wide * channels * x.element_size()))
        for piece, tiles in zip(x.split(batch), out.split(batch), strict=True):
            self._piece(piece.permute(0, 2, 3, 1), weight, order, tiles)
        if (height, width) == (2 * tall, 2 * wide):
            return images
        return images[:, :, :height, :width].clone(memory_format=torch.channels_last)

    def _piece(self, x: Tensor, weight: Tensor, order: tuple[int, ...], out: Tensor) -> None:
        """Convolve images (n,H,W,C) into their output tiles `out` (n,H/2,2,W/2,2,O), halves rounded up."""
        count, height, width, channels = x.shape
        tall, wide, outputs = out.shape[1], out.shape[3], out.shape[5]
        padded = x.new_zeros(count, 2 * tall + 2, 2 * wide + 2, channels)
        padded[:, 1 : height + 1, 1 : width + 1] = x
        rows = x.new_empty(4, count, tall, 2 * wide + 2, channels)
        _differences([padded[:, place : place + 2 * tall : 2] for place in range(4)], [rows[place] for place in order])
        tiles = x.new_empty(4, 4, count, tall, wide, channels)
        columns = [rows[:, :, :, place : place + 2 * wide : 2] for place in range(4)]
        _differences(columns, [tiles[:, place] for place in order])
        products = torch.bmm(tiles.view(16, -1, channels), weight).view(4, 4, count, tall, wide, outputs)
        for row, half in enumerate(_sums([products[place] for place in order])):
            for column, quarter in enumerate(_sums([half[place] for place in order])):
                out[:, :, row, :, column] = quarter


def _differences(d: list[Tensor], out: list[Tensor]) -> None:
    """The input's transform B' along one axis."""
    torch.sub(d[0], d[2], out=out[0])
    torch.add(d[1], d[2], out=out[1])
    torch.sub(d[2], d[1], out=out[2])
    torch.sub(d[1], d[3], out=out[3])


def _sums(m: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The products' transform A' along one axis."""
    return (m[0] + m[1]).add_(m[2]), (m[1] - m[2]).sub_(m[3])
