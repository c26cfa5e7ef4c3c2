"""Gradients that combine an image's own with the mean of its neighbours': what `relevant` and `varied` share."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING

from crossfool.attacks.part import GradientPart
from crossfool.attacks.types import Context, Estimate, Loss
from crossfool.config import Count

if TYPE_CHECKING:
    from torch import Tensor

# gradients (N,C,H,W) at the images, and the means of those at their neighbours -> the gradients of the step
Combine = Callable[["Tensor", "Tensor"], "Tensor"]


class NeighbourGradient(GradientPart):
    """A gradient estimator that evaluates each image and `samples` neighbours, drawn afresh each step."""

    samples: Count

    @property
    def evaluations(self) -> int:
        return self.samples + 1  # the image's own gradient, too

    def combine(self) -> Combine:
        """Make the function that combines both gradients of each step of one attack; it may keep state."""
        raise NotImplementedError

    def estimator(self, context: Context) -> Estimate:
        from crossfool.attacks.gradients._samples import gradient_and_neighbours

        noise, views, together = context.noise, context.views, context.together
        assert noise is not None
        combine, steps = self.combine(), itertools.count()

        def estimate(loss: Loss, x: Tensor) -> Tensor:
            return combine(*gradient_and_neighbours(loss, x, noise(next(steps), x), self.samples, together, views))

        return estimate
