"""Views of an image whose gradients are averaged."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from crossfool.attacks.gradients._samples import mean, sample_gradients
from crossfool.attacks.types import Estimate, Loss, Views


@dataclass(frozen=True)
class ImageViews:
    """Several views of each image: the gradient is the mean over i < count of those of J(view(x, i)) by x.

    Attributes:
        count: Their number.
        view: Images (N,C,H,W), i -> view i of each, of the same shape.
        pull_back: Gradient by view i (N,C,H,W), i -> gradient by the images.
    """

    count: int
    view: Callable[[Tensor, int], Tensor]
    pull_back: Callable[[Tensor, int], Tensor]

    def then(self, other: Views) -> ImageViews:
        """Take views of these views."""

        def view(x: Tensor, i: int) -> Tensor:
            return other.view(self.view(x, i // other.count), i % other.count)

        def pull_back(gradient: Tensor, i: int) -> Tensor:
            return self.pull_back(other.pull_back(gradient, i % other.count), i // other.count)

        return ImageViews(self.count * other.count, view, pull_back)

    def mean_gradient(self, together: int) -> Estimate:
        """Make an estimator of the mean gradient over the views, of which `together` share a pass."""

        def estimate(loss: Loss, x: Tensor) -> Tensor:
            return mean(sample_gradients(loss, x, itertools.repeat(torch.zeros_like(x)), 1, together, self), 1, x)

        return estimate
