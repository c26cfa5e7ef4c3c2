"""Scales: the mean gradient over halvings of the images (SI, arXiv 1908.06281)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from crossfool.attacks.part import InputPart
from crossfool.attacks.types import Context, Views


class Part(InputPart, smoke={"scales": 2}, cite="SI: Lin et al. 2020; arXiv 1908.06281"):
    """Mean gradient over halvings of the images, x / 2ⁱ in pixel values (SI).

    Summary: {scales} scales
    Evaluations: s
    Rows:
        si: scaled images: {epsilon: 16, steps: 4, step_size: 4, update: momentum, decay: 1.0, scales: 5}
        dts: DI, TI and SI together: {epsilon: 16, steps: 4, step_size: 4, update: momentum, decay: 1.0,
            diversity: 0.5, kernel: 7, scales: 5}
    Formula:
        scales: ∇J(x) is the mean over i < {scales} of those of J(x / 2ⁱ) by x

    Attributes:
        scales: s, halvings of the images that the gradient is the mean of, the whole among them
    """

    scales: Annotated[int, Field(ge=2, le=16)]

    @property
    def evaluations(self) -> int:
        return self.scales

    def views(self, context: Context) -> Views:
        from crossfool.attacks.inputs._views import ImageViews

        return ImageViews(self.scales, lambda x, i: x / 2**i, lambda gradient, i: gradient / 2**i)
