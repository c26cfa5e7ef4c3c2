"""Gradient convolved with a Gaussian kernel (TI, arXiv 1904.02884)."""

import torch
from torch import Tensor

from crossfool.attacks.loop import Estimate, Loss


def convolved(estimate: Estimate, side: int) -> Estimate:
    """An estimator whose gradient is convolved with a Gaussian kernel, channel by channel (TI, arXiv 1904.02884).

    The kernel has `side` x `side` values, an odd number; its ends lie three standard deviations from its middle, as in
    the authors' code, so that sigma is (side - 1) / 6 pixels. Beyond the image's edge the gradient is zero.
    """
    bell = torch.exp(-(torch.linspace(-3, 3, side, dtype=torch.float64) ** 2) / 2)
    kernel = torch.outer(bell, bell) / bell.sum() ** 2

    def convolve(loss: Loss, x: Tensor) -> Tensor:
        gradient = estimate(loss, x)
        channels = gradient.shape[1]
        kernels = kernel.to(gradient).expand(channels, 1, side, side)
        return torch.nn.functional.conv2d(gradient, kernels, padding=side // 2, groups=channels)

    return convolve
