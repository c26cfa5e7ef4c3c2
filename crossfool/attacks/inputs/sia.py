"""Structure invariant attack: each block of an image transformed at random (SIA, arXiv 2309.14700)."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from crossfool.attacks.inputs._copies import RandomCopies
from crossfool.errors import MAX_PIXEL, UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

NOISE = 16  # the largest noise that is added to a pixel value
RESIZED = 0.8  # of a block's side, as far as rounding allows
CUT_FREQUENCIES = 0.4  # of those along a side, the highest
DROPPED = 0.1  # probability that a channel of a block is dropped


class Part(RandomCopies, smoke={"sia": 2}, cite="SIA: Wang et al. 2023; arXiv 2309.14700"):
    """Mean gradient over copies in which each block is transformed at random (SIA).

    Summary: {sia} copies of {sia_blocks} × {sia_blocks} blocks, each transformed by one of {sia_transforms}
    Evaluations: N
    Rows:
        sia_migsm: blocks transformed at random: {epsilon: 16, steps: 10, step_size: 1.6, update: momentum, decay: 1.0,
            sia: 20}
    Formula:
        sia: ∇J(x) is the mean of {sia} gradients of J(S(x)) by x; S splits x at random into {sia_blocks} ×
            {sia_blocks} blocks and transforms each by one of {sia_transforms} transformations, afresh for each gradient

    Attributes:
        sia: N, copies of an image that are transformed, whose gradients are averaged
        sia_blocks: s, blocks along each side
        sia_transforms: 10, as in the paper and its code (shift down or right, flip up or sideways, turn by 180°, scale,
            noise, resize, cut of high frequencies, dropped channels), or the first 7, as in TransferAttack
    """

    sia: Annotated[int, Field(ge=1)]
    sia_blocks: Annotated[int, Field(ge=1, le=16)] = 3
    sia_transforms: Literal[7, 10] = 10

    def transformed(self, image: Tensor, generator: torch.Generator) -> Tensor:
        return with_blocks_transformed(image, self.sia_blocks, TRANSFORMS[: self.sia_transforms], generator)


def with_blocks_transformed(
    image: Tensor, blocks: int, transforms: tuple[Transform, ...], generator: torch.Generator
) -> Tensor:
    """An image (1,C,H,W) split into blocks at random rows and columns, each transformed by one of some transforms.

    Args:
        image: Pixels 0..255.
        blocks: s, blocks along each side.
        transforms: Block (1,C,h,w), generator -> the transformed block, of the same shape.
        generator: On the CPU. It draws s - 1 rows and columns, then for each block, row by row, its transform and what
            the transform draws.

    Raises:
        UserError: the image has fewer rows or columns than blocks.
    """
    import torch

    cuts = [_cuts(side, blocks, generator) for side in image.shape[2:]]
    bands = []
    for top, bottom in itertools.pairwise(cuts[0]):
        band = []
        for left, right in itertools.pairwise(cuts[1]):
            transform = transforms[int(torch.randint(len(transforms), (), generator=generator))]
            band.append(transform(image[:, :, top:bottom, left:right], generator))
        bands.append(torch.cat(band, 3))
    return torch.cat(bands, 2)


def _cuts(side: int, blocks: int, generator: torch.Generator) -> list[int]:
    """The ends of the blocks along a side: 0, blocks - 1 different inner positions in order, the side."""
    import torch

    if side < blocks:
        raise UserError(
            f"sia_blocks is {blocks}, and images have a side of {side} pixels; set sia_blocks: {side} or less"
        )
    inner = torch.randperm(side - 1, generator=generator)[: blocks - 1] + 1
    return [0, *sorted(inner.tolist()), side]


def _shift_down(block: Tensor, generator: torch.Generator) -> Tensor:
    return block.roll(_below(block.shape[2], generator), 2)


def _shift_right(block: Tensor, generator: torch.Generator) -> Tensor:
    return block.roll(_below(block.shape[3], generator), 3)


def _flip_up(block: Tensor, generator: torch.Generator) -> Tensor:
    return block.flip(2)


def _flip_sideways(block: Tensor, generator: torch.Generator) -> Tensor:
    return block.flip(3)


def _turn(block: Tensor, generator: torch.Generator) -> Tensor:
    return block.flip(2, 3)


def _scale(block: Tensor, generator: torch.Generator) -> Tensor:
    import torch

    return block * torch.rand((), generator=generator).item()


def _add_noise(block: Tensor, generator: torch.Generator) -> Tensor:
    import torch

    share = torch.rand(block.shape, generator=generator).to(block)
    return (block + NOISE * (2 * share - 1)).clamp(0, MAX_PIXEL)


def _resize(block: Tensor, generator: torch.Generator) -> Tensor:
    return _along_both_sides(block, _resizing)


def _cut_high_frequencies(block: Tensor, generator: torch.Generator) -> Tensor:
    return _along_both_sides(block, _low_pass)


def _drop_channels(block: Tensor, generator: torch.Generator) -> Tensor:
    """Channels dropped by chance, and the others scaled such that the mean stays, as dropout of channels does."""
    import torch

    kept = torch.rand(block.shape[1], generator=generator) >= DROPPED
    return block * (kept.to(block) / (1 - DROPPED)).view(-1, 1, 1)


def _below(side: int, generator: torch.Generator) -> int:
    import torch

    return int(torch.randint(side, (), generator=generator))


def _along_both_sides(block: Tensor, linear: Callable[[int], Tensor]) -> Tensor:
    """A block (1,C,h,w) under a linear map along its columns and along its rows, given as a matrix by its side."""
    return linear(block.shape[2]).to(block) @ block @ linear(block.shape[3]).to(block).T


@functools.cache
def _resizing(side: int) -> Tensor:
    """The matrix that makes a side smaller and as long as before, bilinear both times."""
    import torch
    from torch.nn.functional import interpolate

    unit = torch.eye(side, dtype=torch.float64)[None]  # its rows are resized, one for each pixel
    smaller = interpolate(unit, size=int(side * RESIZED) + 1, mode="linear", align_corners=False)
    return interpolate(smaller, size=side, mode="linear", align_corners=False)[0].T


@functools.cache
def _low_pass(side: int) -> Tensor:
    """The matrix that sets a side's highest frequencies of the cosine transform (DCT-II) to 0."""
    import torch

    kept = torch.arange(side - int(side * CUT_FREQUENCIES), dtype=torch.float64)[:, None]
    waves = torch.cos(math.pi * kept * (torch.arange(side, dtype=torch.float64) + 0.5) / side)
    waves = waves / waves.norm(dim=1, keepdim=True)
    matrix: Tensor = waves.T @ waves
    return matrix


Transform = Callable[["Tensor", "torch.Generator"], "Tensor"]
TRANSFORMS: tuple[Transform, ...] = (
    *(_shift_down, _shift_right, _flip_up, _flip_sideways, _turn, _scale, _add_noise),
    *(_resize, _cut_high_frequencies, _drop_channels),
)
