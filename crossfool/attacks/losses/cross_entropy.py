"""Cross-entropy of the source's prediction for each image (paper section 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossfool.attacks.part import LossPart
from crossfool.attacks.types import Loss, Model

if TYPE_CHECKING:
    from torch import Tensor


class Part(LossPart, paper=True, cite="section 3"):
    """Cross-entropy of the true label, or minus that of the target label.

    Summary: cross-entropy
    Formula:
        loss: J(x) = {sign}f(x)[{label}]
    """

    def loss(self, log_probabilities: Model, labels: Tensor, targeted: bool) -> Loss:
        return target_loss(log_probabilities, labels) if targeted else untargeted(log_probabilities, labels)


def untargeted(log_probabilities: Model, labels: Tensor) -> Loss:
    """Cross-entropy of the true label, to be driven up; labels (N,), repeated k times for images (kN,C,H,W)."""
    return lambda x: -_label_log_probability(labels, log_probabilities(x))


def target_loss(log_probabilities: Model, target_labels: Tensor) -> Loss:
    """Minus the cross-entropy of the target label, to be driven up; target_labels (N,), as in `untargeted`."""
    return lambda x: _label_log_probability(target_labels, log_probabilities(x))


def _label_log_probability(labels: Tensor, log_probabilities: Tensor) -> Tensor:
    return log_probabilities.gather(1, labels.repeat(len(log_probabilities) // len(labels))[:, None])[:, 0]
