"""Sign of the gradient (IGSM, paper equation 4)."""

from crossfool.attacks.part import UpdatePart
from crossfool.attacks.types import Direction, Update


class Part(UpdatePart, paper=True, whole_steps=True, cite="equation 4; arXiv 1607.02533"):
    """Steps by the sign of the gradient.

    Summary: sign of the gradient
    Formula:
        direction: {gradient}
    """

    def update(self, step_size: float) -> Update:
        return sign


def sign() -> Direction:
    """The gradient as it is (IGSM, paper equation 4)."""
    return lambda gradient: gradient
