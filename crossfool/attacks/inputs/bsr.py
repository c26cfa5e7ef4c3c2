"""Block shuffle and rotation: blocks of an image in another order, each rotated (BSR, arXiv 2308.10299)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from crossfool.attacks.inputs._copies import RandomCopies

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Part(RandomCopies, smoke={"bsr": 2}, cite="BSR: Wang et al. 2024; arXiv 2308.10299"):
    """Mean gradient over copies whose blocks are shuffled and rotated at random (BSR).

    Summary: {bsr} copies of {bsr_blocks} × {bsr_blocks} shuffled blocks, rotated by up to {bsr_angle:g}°
    Evaluations: N
    Rows:
        bsr_migsm: shuffled and rotated blocks: {epsilon: 16, steps: 10, step_size: 1.6, update: momentum, decay: 1.0,
            bsr: 20}
    Formula:
        bsr: ∇J(x) is the mean of {bsr} gradients of J(B(x)) by x; B splits x at random into {bsr_blocks} × {bsr_blocks}
            blocks, shuffles their rows and columns, and rotates each by up to {bsr_angle:g}° ({bsr_draw}), afresh for
            each gradient

    Attributes:
        bsr: N, copies of an image that are shuffled and rotated, whose gradients are averaged
        bsr_blocks: n, blocks along each side
        bsr_angle: τ, the largest angle by which a block is rotated, in degrees
        bsr_draw: `uniform`, angles of U(−τ, τ), as in the paper, or `normal`, of N(0, (τ/2)²) within ±τ, as in the
            authors' code, where τ is 0.4 radians
    """

    bsr: Annotated[int, Field(ge=1)]
    bsr_blocks: Annotated[int, Field(ge=2, le=16)] = 2
    bsr_angle: Annotated[float, Field(ge=0, le=180, allow_inf_nan=False)] = 24.0
    bsr_draw: Literal["uniform", "normal"] = "uniform"

    def transformed(self, image: Tensor, generator: torch.Generator) -> Tensor:
        height, width = image.shape[2:]
        layout = draw_layout(height, width, self.bsr_blocks, self.bsr_angle, self.bsr_draw, generator)
        return rearranged(image, layout)


@dataclass(frozen=True)
class Layout:
    """A random arrangement of an image's n x n blocks.

    Attributes:
        heights, widths: Sides of the blocks in the image, from above and from the left, (n,) each.
        rows, columns: Which row of blocks, and which column, stands at each place, (n,) each.
        angles: Of the block that stands at each place, in degrees, counter-clockwise, (n,n).
    """

    heights: Tensor
    widths: Tensor
    rows: Tensor
    columns: Tensor
    angles: Tensor


def draw_layout(height: int, width: int, blocks: int, angle: float, draw: str, generator: torch.Generator) -> Layout:
    """Draw sides in proportion to uniform numbers, the order of rows and of columns, and an angle for each block.

    Rows and columns are shuffled as strips, as in the authors' code: blocks of different sides fill an image only so.

    Args:
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        blocks: n, blocks along each side.
        angle: The largest angle, in degrees.
        draw: `uniform` within it, or `normal` of half of it, truncated to it.
        generator: On the CPU.
    """
    import torch

    heights, widths = (_sides(length, torch.rand(blocks, generator=generator)) for length in (height, width))
    rows, columns = (torch.randperm(blocks, generator=generator) for _ in range(2))
    share = torch.rand((blocks, blocks), generator=generator, dtype=torch.float64)
    if draw == "uniform":
        return Layout(heights, widths, rows, columns, angle * (2 * share - 1))
    beyond = torch.special.ndtr(torch.tensor(-2.0, dtype=torch.float64))  # share of a normal law below -2 deviations
    quantile = beyond + share * (1 - 2 * beyond)
    return Layout(heights, widths, rows, columns, angle / 2 * torch.special.ndtri(quantile))


def _sides(length: int, shares: Tensor) -> Tensor:
    """Whole sides that add up to a length, in proportion to the shares as far as rounding allows; some may be 0."""
    ends = (shares.double().cumsum(0) / shares.double().sum() * length).round().long()
    return ends.diff(prepend=ends.new_zeros(1))


def rearranged(image: Tensor, layout: Layout) -> Tensor:
    """An image (1,C,H,W) with its blocks as the layout has them, each rotated about its middle, bilinear.

    What turns in from beyond a block's edge is 0. All pixels are gathered at once; the gradient of that is the same
    every time on a GPU, too, where torch's sampling on a grid adds in any order.
    """
    import torch

    top, row, height, place = _along(layout.heights, layout.rows)
    left, column, width, place_across = _along(layout.widths, layout.columns)
    down, right = (row - (height - 1) / 2)[:, None], (column - (width - 1) / 2)[None]  # from the block's middle
    angle = layout.angles.deg2rad()[place][:, place_across]
    y = angle.cos() * down + angle.sin() * right + (height[:, None] - 1) / 2
    x = angle.cos() * right - angle.sin() * down + (width[None] - 1) / 2
    flat = image.flatten(2)
    total = torch.zeros_like(flat)
    for corner_y in (y.floor(), y.floor() + 1):
        for corner_x in (x.floor(), x.floor() + 1):
            weight = (1 - (y - corner_y).abs()) * (1 - (x - corner_x).abs())
            inside = (corner_y >= 0) & (corner_y < height[:, None]) & (corner_x >= 0) & (corner_x < width[None])
            index = (top[:, None] + corner_y) * image.shape[3] + left[None] + corner_x
            taken = flat[:, :, (index * inside).long().flatten().to(image.device)]
            total = total + taken * (weight * inside).flatten().to(image)
    return total.view_as(image)


def _along(sides: Tensor, order: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Source positions of the pixels along one side of a rearranged image.

    Args:
        sides: Of the blocks along it, (n,).
        order: Which block stands at each place, (n,).

    Returns:
        For each pixel, (S,): the start of its block in the image, its own position in the block, the block's side, and
        the block's place.
    """
    import torch

    placed = sides[order]
    place = torch.arange(len(order)).repeat_interleave(placed)
    position = torch.arange(len(place)) - (placed.cumsum(0) - placed)[place]
    block = order[place]
    return (sides.cumsum(0) - sides)[block], position.double(), sides[block], place
