"""Gradient of a loss by the images, one backward pass."""

import torch
from torch import Tensor

from crossfool.attacks.types import Loss
from crossfool.errors import UserError, brief


class NotDifferentiable(UserError):
    """The error for a network that torch cannot differentiate by its images: it may be a target, but no source."""


def plain(loss: Loss, x: Tensor) -> Tensor:
    """The gradient of each image's loss, (N,C,H,W); within `torch.no_grad()` and `torch.inference_mode()`, too.

    Args:
        loss: The loss of each image.
        x: Images (N,C,H,W), pixels 0..255.

    Raises:
        NotDifferentiable: torch cannot differentiate the loss by its images.
    """
    try:
        with torch.inference_mode(False), torch.enable_grad():
            x = (x.clone() if x.is_inference() else x.detach()).requires_grad_()
            return torch.autograd.grad(loss(x).sum(), x)[0]
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, NotImplementedError) as error:
        if any(phrase in str(error) for phrase in ("out of memory", "allocate memory", "CUDA error")):
            raise  # a fault of the machine and not of the network
        raise NotDifferentiable(f"torch has no gradient of the network by its images ({brief(error)})") from error
