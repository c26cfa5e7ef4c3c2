"""The L2 ball of epsilon, `norm: l2`: normalised steps, projection by scaling, rounding that stays in the ball.

As in PGD in L2 (Madry et al. 2018, arXiv 1706.06083) and torchattacks' PGDL2: x_{t+1} is x_t + alpha g/||g||_2 with
its difference from the clean image scaled to length epsilon where it is longer, and then clipped to 0..255. The clean
image lies in 0..255, so that clipping brings no value farther from it, and the result lies in the ball, too. Lengths
are in pixel values over the whole image.
"""

import torch
from torch import Tensor

from crossfool.attacks.types import Norm
from crossfool.errors import MAX_PIXEL, refuse_small_pixel_value


def unit_l2(direction: Tensor) -> Tensor:
    """Each image's direction (N,C,H,W) divided by its L2 norm; zeros stay zeros."""
    return direction / lengths(direction)


def project_l2(x_adv: Tensor, x: Tensor, epsilon: float) -> Tensor:
    """Scale x_adv - x to length epsilon where it is longer, then clip x_adv to 0..255; all (N,C,H,W)."""
    change = x_adv - x
    return (x + (epsilon / lengths(change)).clamp_(max=1) * change).clamp_(0, MAX_PIXEL)


def lengths(change: Tensor) -> Tensor:
    """L2 norms (N,1,1,1), above 0 also of zeros; each image's is computed by itself: its batch does not matter."""
    norms = change.new_empty(len(change), 1, 1, 1)
    for norm, image in zip(norms, change, strict=True):
        norm.copy_(torch.linalg.vector_norm(image, dtype=torch.float64))
    return norms.clamp_(min=torch.finfo(change.dtype).tiny)


def quantise_l2(x_adv: Tensor, x: Tensor, epsilon: float) -> Tensor:
    """Round images to uint8 in the L2 ball of epsilon around x.

    Values are rounded to the nearest whole number. While an image is outside the ball, its values come nearer to the
    clean image by one, one after another, those first that rounding moved farthest away from it. An image of the ball
    is inside at the latest when all values are rounded toward the clean image. Lengths are counted in whole numbers,
    so that the stored image is in the ball exactly.

    Args:
        x_adv: Images (N,C,H,W), pixels 0..255; one that is not finite becomes the clean image.
        x: Clean images of whole pixel values, shaped as x_adv.
        epsilon: The ball's radius.

    Raises:
        UserError: epsilon is between 0 and 1, where only x lies in the ball.
    """
    refuse_small_pixel_value("epsilon", epsilon)
    x_adv = torch.where(x_adv.isfinite(), x_adv, x).clamp_(0, MAX_PIXEL)
    exact = (x_adv - x).flatten(1).abs()
    moved = (x_adv.round() - x).flatten(1).abs().long()
    order = (moved - exact).argsort(dim=1, descending=True, stable=True)
    limit = int(epsilon**2)
    while ((excess := moved.square().sum(1, keepdim=True) - limit) > 0).any():
        shrunk = (2 * moved - 1).clamp_(min=0).gather(1, order)  # of the squared length, by one step nearer
        nearer = (shrunk.cumsum(1) - shrunk < excess).long()  # those before have not shrunk it enough
        moved = (moved - torch.zeros_like(moved).scatter_(1, order, nearer)).clamp_(min=0)
    return (x + moved.view_as(x) * (x_adv - x).sign()).to(torch.uint8)


NORM = Norm(unit_l2, project_l2, quantise_l2)
