"""Margin loss: by how much another class is ahead of the label (arXiv 1608.04644)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossfool.attacks.part import LossPart
from crossfool.attacks.types import Loss, Model

if TYPE_CHECKING:
    from torch import Tensor


class Part(LossPart, cite="Carlini & Wagner 2017; arXiv 1608.04644"):
    """Logit of the best other class less the true label's, or the target label's less that of the best other class.

    Summary: margin loss
    Rows:
        igsm_margin: iterated, margin loss: {epsilon: 15, steps: 5, step_size: 5, loss: margin}
    Formula:
        loss: J(x) = {sign}(f(x)[{label}] − max f(x)[other labels]), a difference of logits
    """

    def loss(self, log_probabilities: Model, labels: Tensor, targeted: bool) -> Loss:
        lead = ahead(log_probabilities, labels)
        return lead if targeted else lambda x: -lead(x)


def ahead(log_probabilities: Model, labels: Tensor) -> Loss:
    """By how much a label's log-probability is ahead of the best other one; labels (N,), images (kN,C,H,W).

    Log-probabilities of a model differ as its logits do, since log-softmax takes the same from each; so do those of an
    ensemble under `fusion: logits` or `losses`, as the members' mean logits do. Unlike f₆ of Carlini and Wagner, the
    margin has no upper limit (their -κ): an attack goes on past the decision boundary.
    """

    def lead(x: Tensor) -> Tensor:
        scores = log_probabilities(x)
        places = labels.repeat(len(scores) // len(labels))[:, None]
        others = scores.scatter(1, places, float("-inf")).amax(1)
        return scores.gather(1, places)[:, 0] - others

    return lead
