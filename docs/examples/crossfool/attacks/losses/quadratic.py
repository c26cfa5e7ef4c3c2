"""Quadratic loss: the quadratic score of the predicted probabilities (Brier 1950)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossfool.attacks.part import LossPart
from crossfool.attacks.types import Loss, Model

if TYPE_CHECKING:
    from torch import Tensor


class Part(LossPart, cite="Brier 1950; docs/contributing.md"):
    """Quadratic score of the label under the predicted probabilities, or minus that where the label is to be left.

    Summary: quadratic loss
    Formula:
        loss: J(x) = {sign}(2 exp f(x)[{label}] − Σ exp 2 f(x))
    """

    def loss(self, log_probabilities: Model, labels: Tensor, targeted: bool) -> Loss:
        def quadratic(x: Tensor) -> Tensor:
            probabilities = log_probabilities(x).exp()
            places = labels.repeat(len(probabilities) // len(labels))[:, None]
            score = 2 * probabilities.gather(1, places)[:, 0] - probabilities.square().sum(1)
            return score if targeted else -score

        return quadratic
