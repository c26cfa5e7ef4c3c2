"""Mirrored gradient: the mean of the gradients at an image and at its mirror image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossfool.attacks.part import GradientPart
from crossfool.attacks.types import Context, Estimate, Loss

if TYPE_CHECKING:
    from torch import Tensor


class Part(GradientPart, cite="docs/contributing.md"):
    """Mean of the gradients at an image and at its mirror image.

    Summary: mirrored gradient
    Evaluations: 2
    Rows:
        mirrored: gradients of an image and its mirror image: {epsilon: 6, steps: 5, step_size: 2, gradient: mirrored}
    Formula:
        gradient: Gₜ = (∇J({point}) + R ∇J(R {point})) / 2, R mirrors an image from left to right
    """

    @property
    def evaluations(self) -> int:
        return 2

    def estimator(self, context: Context) -> Estimate:
        return mirrored


def mirrored(loss: Loss, x: Tensor) -> Tensor:
    """The mean of each image's gradient, (N,C,H,W), and of its mirror image's, mirrored back; two evaluations."""
    from crossfool.attacks.backward import plain

    return (plain(loss, x) + plain(loss, x.flip(-1)).flip(-1)) / 2
