"""Copies of an image that are each transformed at random: what `bsr` and `sia` share."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from crossfool import seeds
from crossfool.attacks.part import InputPart
from crossfool.attacks.types import Context, Loss, Views

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class RandomCopies(InputPart, random=True):
    """An input transformation drawn afresh for each of several copies of an image, whose gradients are averaged.

    The key of the part's name is the number of copies. The copies are views, so that noise, neighbours and scales have
    as many each; the loss transforms them.
    """

    @property
    def evaluations(self) -> int:
        return int(getattr(self, self.part_name()))

    def views(self, context: Context) -> Views:
        from crossfool.attacks.inputs._views import ImageViews

        return ImageViews(self.evaluations, lambda x, i: x, lambda gradient, i: gradient)

    def loss(self, loss: Loss, context: Context) -> Loss:
        return of_transformed(loss, context, self.part_name(), self.transformed)

    def transformed(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Transform an image (1,C,H,W), pixels 0..255, by what the generator, which is on the CPU, draws."""
        raise NotImplementedError


def of_transformed(
    loss: Loss, context: Context, name: str, transform: Callable[[Tensor, torch.Generator], Tensor]
) -> Loss:
    """A loss of images that are each transformed by draws from (seed, image id, step, copy) and the part's name.

    Draws are made on the CPU, so that they are the same on every device. Make a new loss for every attack: it counts
    copies.

    Args:
        loss: A loss of images (kN,C,H,W), k copies one behind the other.
        context: The attack on the N images.
        name: The part's name, so that the draws of two parts are independent.
        transform: Image (1,C,H,W) and a generator -> the transformed image, of the same shape.
    """
    import torch

    part = zlib.crc32(name.encode())
    evaluated = 0  # copies so far

    def transformed_loss(x: Tensor) -> Tensor:
        nonlocal evaluated
        copies = len(x) // len(context.ids)
        keys = [
            (context.seed, image_id, *divmod(evaluated + copy, context.copies), part)
            for copy in range(copies)
            for image_id in context.ids
        ]
        evaluated += copies
        drawn = (torch.Generator().manual_seed(seeds.derive_seed(*key)) for key in keys)
        return loss(
            torch.cat([transform(image, generator) for image, generator in zip(x.split(1), drawn, strict=True)])
        )

    return transformed_loss
