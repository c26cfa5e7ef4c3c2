"""The attack loop: gradient, step, projection into the ball of epsilon, over and over.

FGSM, IGSM, mIGSM, sg-* and later attacks differ only in the parts that are passed to it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from crossfool.attacks.projection import LINF
from crossfool.attacks.types import Estimate, Loss, Norm, Update, as_rule
from crossfool.errors import MAX_PIXEL, UserError, refuse_small_pixel_value, refuse_unit_images, small_steps_message


@dataclass(frozen=True)
class Budget:
    """An attack's budget: radius of the ball and step size in pixel values, number of steps.

    Raises:
        UserError: a radius or a step is so small that no pixel of 0..255 changes.
    """

    epsilon: float
    steps: int
    step_size: float

    def __post_init__(self) -> None:
        refuse_small_pixel_value("epsilon", self.epsilon)
        if message := small_steps_message(self.epsilon, self.steps, self.step_size):
            raise UserError(message)


def attack(
    loss: Loss,
    x: Tensor,
    budget: Budget,
    *,
    estimate: Estimate,
    update: Update,
    norm: Norm = LINF,
    each: Callable[[int, Tensor], object] = lambda step, x_adv: None,
) -> Tensor:
    """Maximise a per-example loss in the ball around x (paper equations 4, 5 and 8).

    Args:
        loss: The loss to maximise, an image at a time; a targeted attack passes the negative.
        x: Clean images (N,C,H,W), pixels 0..255; where the iteration starts.
        budget: Radius, number of steps, step size.
        estimate: Gradient estimator (`gradients/`).
        update: Makes a fresh update rule (`updates/`).
        norm: The ball's norm, L-inf as in the paper, or `l2.L2`; epsilon and step size are lengths in it.
        each: Called with the step, numbered from 1, and the images after it.

    Returns:
        Adversarial images, shaped as x. With integer x, epsilon and step size they are integers in the L-inf norm.

    Raises:
        UserError: the images' pixels are not 0..255, but 0..1, say, or normalised.
    """
    refuse_unit_images(x)
    if x.numel() and not (x.min() >= 0 and x.max() <= MAX_PIXEL):
        raise UserError(
            f"pixels are 0..{MAX_PIXEL}, and these images go from {float(x.min()):.3g} to {float(x.max()):.3g}; "
            "give them as they are stored: models normalise inside"
        )
    update_rule, x_adv = as_rule(update()), x
    for number in range(1, budget.steps + 1):
        gradient = estimate(loss, update_rule.look(x_adv))  # raw: not signed, not normalised
        direction = update_rule.direction(gradient)
        step = norm.unit(direction)
        if update_rule.lengths is not None:
            step = update_rule.lengths(direction) * step
        x_adv = norm.project(x_adv + budget.step_size * step, x, budget.epsilon)
        each(number, x_adv)
    return x_adv
