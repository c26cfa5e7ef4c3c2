"""Po+Trip: a Poincaré distance to the target label, and a triplet loss that also leaves the true one (CVPR 2020).

Constants and formulas are those of the authors' code; they were not compared with the paper's text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from crossfool.attacks.part import LossPart
from crossfool.attacks.types import Loss, Model

if TYPE_CHECKING:
    from torch import Tensor

TARGET = 1 - 1e-5  # the target's coordinate: the one-hot vector itself lies on the ball's edge, infinitely far away


class Part(
    LossPart,
    takes_logits=True,
    cite="Po+Trip: Li et al. 2020, CVPR; github.com/TiJoy/Towards-Transferable-Targeted-Attack",
):
    """Minus the Poincaré distance to the target label and a triplet loss of cosines (Po+Trip, by its authors' code).

    Summary: Po+Trip loss
    Rows:
        po_trip_targeted: towards a target label and away from the true one: {epsilon: 16, steps: 20,
            step_size: 0.8, objective: targeted, loss: po_trip, fusion: logits, update: momentum, decay: 1.0,
            diversity: 0.7, kernel: 5}
    Formula:
        triplet: T(x) = max(0, |cos(f(x), e[true label])| − |cos(f(x), e[target label])| + {triplet_margin:g}), e[label]
            the one-hot vector
        loss: J(x) = −arcosh(1 + 2 ‖u − v‖² / ((1 − ‖u‖²)(1 − ‖v‖²))) − {triplet_weight:g} · T(x), u = f(x) / ‖f(x)‖₁, v
            = 0.99999 · e[target label]

    Attributes:
        triplet_weight: λ, weight of the triplet loss beside the Poincaré distance
        triplet_margin: γ, by how much the target's cosine is to be ahead of the true label's
    """

    triplet_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.01
    triplet_margin: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.007

    def misuse(self, row: Any) -> str:
        untargeted = "loss: po_trip goes from the true label to a target; set objective: targeted, or another loss"
        return super().misuse(row) if row.targeted else untargeted

    def loss_of_both(self, source: Model, labels: Tensor, target_labels: Tensor, targeted: bool) -> Loss:
        def nearness(x: Tensor) -> Tensor:
            logits = source(x)
            copies = len(logits) // len(labels)
            targets = target_labels.repeat(copies)
            distance = poincare_distance(logits, targets)
            return -distance - self.triplet_weight * triplet(
                logits, labels.repeat(copies), targets, self.triplet_margin
            )

        return nearness


def poincare_distance(logits: Tensor, targets: Tensor) -> Tensor:
    """The distance in the Poincaré ball from logits (N,K), divided by their L1 norms, to one-hot targets (N,), (N,)."""
    point = logits / logits.abs().sum(1, keepdim=True)
    inside = 1 - point.square().sum(1)
    own = point.gather(1, targets[:, None])[:, 0]
    apart = point.square().sum(1) - own.square() + (own - TARGET).square()
    distance: Tensor = (1 + 2 * apart / (inside * (1 - TARGET**2))).acosh()
    return distance


def triplet(logits: Tensor, labels: Tensor, targets: Tensor, margin: float) -> Tensor:
    """max(0, D(target) - D(label) + margin), D = 1 - |cosine| of logits (N,K) and a one-hot label (N,): (N,).

    It falls as the target's cosine rises and as the true label's sinks, as in the authors' code. Re-implementations
    (Zhao et al. 2021; TransferAttack) have the two the other way round, which pulls back to the true label.
    """
    cosines = logits.abs() / logits.norm(dim=1, keepdim=True)
    target, true = (cosines.gather(1, places[:, None])[:, 0] for places in (targets, labels))
    loss: Tensor = (true - target + margin).clamp(min=0)
    return loss
