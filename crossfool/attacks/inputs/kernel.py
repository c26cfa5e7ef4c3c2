"""Gradient convolved with a Gaussian kernel (TI, arXiv 1904.02884)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field, field_validator

from crossfool.attacks.part import InputPart

if TYPE_CHECKING:
    from torch import Tensor


class Part(InputPart, cite="TI: Dong et al. 2019; arXiv 1904.02884"):
    """Gradient convolved with a Gaussian kernel, which stands for translations of the input (TI).

    Summary: kernel of {kernel} × {kernel}
    Rows:
        ti: convolved gradient: {epsilon: 16, steps: 20, step_size: 0.8, update: momentum, decay: 1.0, kernel: 7}
    Formula:
        kernel: Kₜ = W ∗ {gradient}, W a Gaussian of {kernel} × {kernel} pixels

    Attributes:
        kernel: k, side of the Gaussian kernel that the gradient is convolved with, in pixels, an odd number
    """

    kernel: Annotated[int, Field(ge=3)]

    @field_validator("kernel")
    @classmethod
    def _is_odd(cls, side: int) -> int:
        if side % 2 == 0:
            raise ValueError(f"is {side}, expected an odd number, so that it has a middle")
        return side

    def gradient(self, gradient: Tensor) -> Tensor:
        return convolved(gradient, self.kernel)


def convolved(gradient: Tensor, side: int) -> Tensor:
    """A gradient (N,C,H,W) convolved with a Gaussian kernel, channel by channel (TI, arXiv 1904.02884).

    The kernel has `side` x `side` values, an odd number; its ends lie three standard deviations from its middle, as in
    the authors' code, so that sigma is (side - 1) / 6 pixels. Beyond the image's edge the gradient is zero.
    """
    import torch

    bell = torch.exp(-(torch.linspace(-3, 3, side, dtype=torch.float64) ** 2) / 2)
    kernel = torch.outer(bell, bell) / bell.sum() ** 2
    channels = gradient.shape[1]
    kernels = kernel.to(gradient).expand(channels, 1, side, side)
    return torch.nn.functional.conv2d(gradient, kernels, padding=side // 2, groups=channels)
