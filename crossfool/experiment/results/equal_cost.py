"""Attacks at equal cost: budgets of gradient evaluations, and the paired test of an attack and a rival."""

from dataclasses import dataclass

BUDGETS = (10, 50, 200)  # gradient evaluations an image and model


@dataclass(frozen=True)
class PairedTest:
    """The paired difference of an attack and a rival, pooled over black-box cells.

    Attributes:
        difference, low, high: The attack's success less the rival's, in percent points, and its 95% interval.
        p, p_holm: The p-value, and adjusted by Holm's method for all pairs of the table, since which rival is the best
            is known from the same images.
    """

    difference: float
    low: float
    high: float
    p: float
    p_holm: float


def budget_of(gradients: int) -> int | None:
    """The smallest budget that a number of gradient evaluations fits in; None where it exceeds all."""
    return next((budget for budget in BUDGETS if gradients <= budget), None)
