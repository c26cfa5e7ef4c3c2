"""Logit loss: the label's logit itself (arXiv 2012.11207)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossfool.attacks.part import LossPart
from crossfool.attacks.types import Loss, Model

if TYPE_CHECKING:
    from torch import Tensor


class Part(LossPart, takes_logits=True, cite="Zhao et al. 2021; arXiv 2012.11207"):
    """Logit of the target label, or minus that of the true label.

    Summary: logit loss
    Rows:
        logit_targeted: towards a target label by its logit (the paper has 300 steps): {epsilon: 16, steps: 20,
            step_size: 2, objective: targeted, loss: logit, fusion: logits, update: momentum, decay: 1.0,
            diversity: 0.7, kernel: 5}
    Formula:
        loss: J(x) = {sign}f(x)[{label}]
    """

    def loss(self, logits: Model, labels: Tensor, targeted: bool) -> Loss:
        def logit(x: Tensor) -> Tensor:
            scores = logits(x)
            own = scores.gather(1, labels.repeat(len(scores) // len(labels))[:, None])[:, 0]
            return own if targeted else -own

        return logit
