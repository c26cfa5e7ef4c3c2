"""Gradient evaluations, counted by the source model as another library's attack calls it, and limited to its row's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from crossfool.errors import UserError


class RowExceeded(UserError):
    """The error for an attack that evaluates more gradients than its row of params.yaml says."""


class GradientCount:
    """Count the images whose gradient a network evaluates, from all callers.

    A gradient evaluation is an image's forward pass with a backward pass behind it. A second backward pass through the
    same forward pass counts again; two that meet at a layer, the first from the logits to the layer and the second from
    the layer to the images, are one. Forward passes alone count nothing.

    Attributes:
        allowed: Gradient evaluations that may be counted.
        evaluated: Called with the number of images of each gradient evaluation.
        whose: Attack and source, for the error.
        count: Gradient evaluations so far, an image each.

    Raises:
        RowExceeded: more gradients are evaluated than are allowed; raised in the backward pass that is too many.
    """

    def __init__(self, allowed: int, evaluated: Callable[[int], object], whose: str) -> None:
        self.allowed, self.evaluated, self.whose, self.count = allowed, evaluated, whose, 0

    def watch(self, network: nn.Module) -> None:
        """Count the gradients of a network (images (N,C,H,W) -> logits (N,K)) from now on."""
        network.register_forward_pre_hook(_own_images)
        network.register_forward_hook(self._called)

    def refuse_excess(self) -> None:
        """Refuse more gradient evaluations than are allowed: again at the end, where an attack kept on after an error.

        Raises:
            RowExceeded: there were more.
        """
        if self.count > self.allowed:
            raise RowExceeded(
                f"{self.whose} evaluates more gradients than its row says: {self.count:,} so far, and the row says "
                f"{self.allowed:,} (an image each); its cost in attacks/torchattack/catalogue.py is wrong, or the "
                "library has changed"
            )

    def _called(self, network: nn.Module, arguments: tuple[Any, ...], logits: Any) -> None:
        """Have the backward passes through one forward pass counted, at both of its ends."""
        images = arguments[0]
        left_logits = False  # a counted backward pass that has not reached the images

        def leave(gradient: Tensor) -> None:
            nonlocal left_logits
            left_logits = True
            self._add(len(images))

        def arrive(gradient: Tensor) -> None:
            nonlocal left_logits
            if not left_logits:
                self._add(len(images))
            left_logits = False

        if torch.is_grad_enabled():
            for end, counted in ((logits, leave), (images, arrive)):
                if isinstance(end, Tensor) and end.requires_grad:
                    end.register_hook(counted)

    def _add(self, images: int) -> None:
        self.count += images
        self.evaluated(images)
        self.refuse_excess()

    def __deepcopy__(self, memo: Any) -> GradientCount:
        return self  # a copy of the network is counted with it


def _own_images(network: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Give a forward pass a tensor of its own: gradients that reach it are of no other pass of the same images."""
    images, *others = arguments
    return (images.view_as(images) if isinstance(images, Tensor) else images, *others)
