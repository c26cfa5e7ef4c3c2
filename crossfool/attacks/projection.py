"""The L-inf ball of epsilon: projection into it, and rounding of the last images to uint8 within it."""

import torch
from torch import Tensor

from crossfool.attacks.types import Norm
from crossfool.errors import refuse_small_pixel_value


def project_linf(x_adv: Tensor, x: Tensor, epsilon: float) -> Tensor:
    """The nearest point of D = [0,255]^d and the L-inf ball of radius epsilon around x (paper equation 4)."""
    return torch.clamp(x_adv, min=(x - epsilon).clamp_(min=0), max=(x + epsilon).clamp_(max=255))


def quantise(x_adv: Tensor, x: Tensor, epsilon: float) -> Tensor:
    """Round images to uint8 and project them again, so that the stored images lie in the ball; exact for integers.

    A fractional epsilon leaves whole pixel values within floor(epsilon) of a whole-numbered x.

    Raises:
        UserError: epsilon is between 0 and 1, where only x lies in the ball.
    """
    refuse_small_pixel_value("epsilon", epsilon)
    return project_linf(x_adv.round(), x, float(int(epsilon))).to(torch.uint8)


LINF = Norm(torch.sign, project_linf, quantise)
