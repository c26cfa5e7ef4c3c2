"""Raw gradients without a sign, summed before they are clipped (RGD, arXiv 2312.01260)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crossfool.attacks.part import GradientPart, UpdatePart
from crossfool.attacks.types import Rule, Update

if TYPE_CHECKING:
    from torch import Tensor

SCALE = 255  # from the gradient by pixels 0..255 to that by pixels 0..1, as in the paper


class Part(UpdatePart, cite="RGD: Yang et al. 2023; arXiv 2312.01260"):
    """Sum of gradients without a sign, clipped for the images and not for the sum (RGD).

    Summary: raw gradients, summed unclipped
    Rows:
        rgd: raw gradients in place of signs: {epsilon: 16, steps: 10, step_size: 6000, update: raw}
    Formula:
        sum: zₜ₊₁ = zₜ + {step_size:g} · 255 · {gradient}, z₀ = x₀
        iterate: zₜ₊₁
    """

    def update(self, step_size: float) -> Update:
        return raw(step_size)

    def misuse(self, row: Any) -> str:
        gradient = row.parts.gradient
        if row.norm == "l2":
            return "update: raw has no steps of a length, which norm: l2 gives them; remove norm or use another update"
        if type(gradient).adjusted is GradientPart.adjusted:
            return ""
        return f"update: raw has no steps of a length, which gradient: {gradient.part_name()} changes; use another"


def raw(step_size: float) -> Update:
    """Raw gradients, added to a hidden point that is never clipped: z <- z + step_size grad (RGD, arXiv 2312.01260).

    The gradient is by pixels 0..1, 255 times that by pixels 0..255, so that the paper's step size alpha is step_size =
    255 alpha here, as of other attacks. An image is the projection of its z, which begins at the clean image. The
    gradient is an image's own, not divided by a batch's size as in the authors' code.
    """

    def update() -> Rule:
        images: Tensor | None = None
        hidden: Tensor | None = None

        def look(x: Tensor) -> Tensor:
            nonlocal images
            images = x
            return x

        def direction(gradient: Tensor) -> Tensor:
            nonlocal hidden
            assert images is not None
            hidden = (images if hidden is None else hidden) + step_size * SCALE * gradient
            return (hidden - images) / step_size

        return Rule(direction, look, lambda direction: direction.abs())

    return update
