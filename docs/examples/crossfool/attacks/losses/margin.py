"""Margin loss: by how much another class is ahead of the label (Carlini & Wagner 2017)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossfool.attacks.part import LossPart
from crossfool.attacks.types import Loss, Model

if TYPE_CHECKING:
    from torch import Tensor


class Part(LossPart, cite="Carlini & Wagner 2017; arXiv 1608.04644"):
    """Difference of the best other class's log-probability and the label's, or minus that where the label is aimed at.

    Summary: margin loss
    Formula:
        loss: J(x) = {sign}(f(x)[{label}] − max f(x)[other labels])
    """

    def loss(self, log_probabilities: Model, labels: Tensor, targeted: bool) -> Loss:
        def margin(x: Tensor) -> Tensor:
            scores = log_probabilities(x)
            places = labels.repeat(len(scores) // len(labels))[:, None]
            others = scores.scatter(1, places, float("-inf")).amax(1)
            ahead = scores.gather(1, places)[:, 0] - others
            return ahead if targeted else -ahead

        return margin
