"""Convolutions with bias and activation applied by oneDNN, and the gradient for their input.

`fusion` builds chains of them. Nothing here computes a gradient of a weight.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

INFINITY = float("inf")
CACHE = 8 << 20  # bytes of a tensor that are to stay in the processor's cache

onednn = torch.ops.mkldnn  # its fused convolution and packed weights, as torch's own compiler uses them


@dataclass(frozen=True)
class Clamp:
    """An activation that limits its input: ReLU (0, infinity) or ReLU6 (0, 6)."""

    low: float
    high: float

    @property
    def onednn_arguments(self) -> tuple[str, list[float]]:
        """Name and numbers by which oneDNN knows the activation."""
        return ("relu", []) if self.high == INFINITY else ("hardtanh", [self.low, self.high])

    def backward(self, gradient: Tensor, output: Tensor, *, in_place: bool) -> Tensor:
        """The gradient where the output lies strictly between the limits, else 0.

        Args:
            gradient: That of the activation's output.
            output: The activation's output.
            in_place: Whether the result may overwrite `gradient`.
        """
        result = gradient if in_place else torch.empty_like(gradient)
        if self.high == INFINITY:
            torch.ops.aten.threshold_backward.grad_input(gradient, output, self.low, grad_input=result)
        else:
            torch.ops.aten.hardtanh_backward.grad_input(gradient, output, self.low, self.high, grad_input=result)
        return result


class Affine:
    """Scale and shift (1,C,1,1) of batch normalisation before an activation and a convolution, as in DenseNet."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        assert norm.running_mean is not None and norm.running_var is not None
        scale = (norm.running_var.double() + norm.eps).rsqrt() * (1.0 if norm.weight is None else norm.weight.double())
        shift = (0.0 if norm.bias is None else norm.bias.double()) - norm.running_mean.double() * scale
        self.scale, self.shift = (value.float().view(1, -1, 1, 1) for value in (scale, shift))


class Convolution:
    """A convolution: forward with its activation, and the gradient of its input.

    Weights are packed when they are first used, and kept in no other form where that serves.
    """

    def __init__(self, conv: nn.Conv2d, clamp: Clamp | None) -> None:
        weight = conv.weight.detach().contiguous(memory_format=torch.channels_last)
        self.weight: Tensor | None = weight
        self.bias = None if conv.bias is None else conv.bias.detach()
        self.outputs, self.groups = len(weight), conv.groups
        self.padding, self.stride, self.dilation = _ints(conv.padding), _ints(conv.stride), _ints(conv.dilation)
        self.clamp = clamp
        self.activation, self.limits = ("none", []) if clamp is None else clamp.onednn_arguments
        self.flipped_padding = _flipped_padding(weight, self.padding, self.stride, self.dilation, self.groups)
        self.phases = _Phases.if_suited(weight, self.padding, self.stride, self.dilation, self.groups)
        self._forward_weight: Tensor | None = None
        self._backward_weight: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Activated output of images (N,C,H,W), channels last."""
        if self._forward_weight is None:
            assert self.weight is not None
            self._forward_weight = self._packed(self.weight, x, self.padding)
        return self._fused(x, self._forward_weight, self.bias, self.padding, self.activation, self.limits)

    def backward(self, gradient: Tensor, shape: Sequence[int]) -> Tensor:
        """The gradient of an input of this shape, from that of the output before its activation."""
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        if self.flipped_padding is not None:
            if self._backward_weight is None:
                assert self.weight is not None and self._forward_weight is not None
                flipped = self.weight.flip(2, 3) if self.groups > 1 else self.weight.flip(2, 3).transpose(0, 1)
                flipped = flipped.contiguous(memory_format=torch.channels_last)
                self._backward_weight, self.weight = self._packed(flipped, gradient, self.flipped_padding), None
            return self._fused(gradient, self._backward_weight, None, self.flipped_padding, "none", [])
        if self.phases is not None and self.phases.fits(gradient, shape):
            return self.phases.backward(gradient, shape)
        assert self.weight is not None
        # only the shape of the input matters to the gradient for the input
        unread_input = torch.empty(shape, dtype=gradient.dtype, memory_format=torch.channels_last)
        geometry = (self.stride, self.padding, self.dilation, False, [0, 0], self.groups)
        gradients = torch.ops.aten.convolution_backward(
            gradient, unread_input, self.weight, None, *geometry, [True, False, False]
        )
        input_gradient: Tensor = gradients[0]
        return input_gradient

    def _packed(self, weight: Tensor, x: Tensor, padding: list[int]) -> Tensor:
        """The weight in the layout that oneDNN wants for inputs of the shape of `x`."""
        packed: Tensor = onednn._reorder_convolution_weight(
            weight, padding, self.stride, self.dilation, self.groups, list(x.shape)
        )
        return packed

    def _fused(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, padding: list[int], activation: str, limits: list[float]
    ) -> Tensor:
        """oneDNN's convolution with a packed weight, followed by an activation."""
        output: Tensor = onednn._convolution_pointwise(
            x, weight, bias, padding, self.stride, self.dilation, self.groups, activation, limits, ""
        )
        return output


def _ints(values: Any) -> list[int]:
    return [int(value) for value in values]


def _flipped_padding(
    weight: Tensor, padding: list[int], stride: list[int], dilation: list[int], groups: int
) -> list[int] | None:
    """Padding of the convolution that computes the backward pass; None where no single convolution does.

    That is so with a stride, or with groups of more than one channel.
    """
    depthwise = weight.shape[1] == 1 and groups == weight.shape[0]
    borders = [d * (k - 1) - p for d, k, p in zip(dilation, weight.shape[2:], padding, strict=True)]
    return borders if stride == [1, 1] and min(borders) >= 0 and (groups == 1 or depthwise) else None


class _Phases:
    """The backward pass of a strided convolution of few channels, all pixel phases at once.

    With y[i] = sum_u w[u] x[s i + u - p], the gradient of x at s q + r - p is sum_t w[r + s t] gy[q - t]:
    for each phase r a dense convolution of gy, whose outputs are then woven together.
    """

    @classmethod
    def if_suited(
        cls, weight: Tensor, padding: list[int], stride: list[int], dilation: list[int], groups: int
    ) -> "_Phases | None":
        """The phases of a square, strided convolution of at most four channels a group; None for any other."""
        square = stride[0] == stride[1] and padding[0] == padding[1] and weight.shape[2] == weight.shape[3]
        few = weight.shape[1] <= 4 and stride[0] > 1
        return cls(weight, padding[0], stride[0]) if few and square and groups == 1 and dilation == [1, 1] else None

    def __init__(self, weight: Tensor, padding: int, stride: int) -> None:
        self.stride = stride
        while padding and not weight[:, :, 0].any() and not weight[:, :, :, 0].any():
            weight, padding = weight[:, :, 1:, 1:], padding - 1  # zeros that only made the padding symmetric
        lead = -padding % stride  # so that the first pixel is of the first phase
        taps = -(-(weight.shape[2] + lead) // stride)
        trail = taps * stride - weight.shape[2] - lead
        weight = F.pad(weight, (lead, trail, lead, trail))
        outputs, channels = weight.shape[:2]
        # (O,C,t,r,t,r) -> (r,r,C,O,t,t), the taps flipped around
        kernel = weight.view(outputs, channels, taps, stride, taps, stride).permute(3, 5, 1, 0, 2, 4).flip(4, 5)
        self.kernel = kernel.reshape(-1, outputs, taps, taps).contiguous(memory_format=torch.channels_last)
        self.channels = channels
        self.skip = (padding + lead) // stride  # rows of the dense convolution before the first pixel's
        self.padding = taps - 1

    def fits(self, gradient: Tensor, shape: Sequence[int]) -> bool:
        """Whether the dense convolution reaches every pixel."""
        return all(
            side % self.stride == 0 and self.skip + side // self.stride <= out + self.padding
            for side, out in zip(shape[2:], gradient.shape[2:], strict=True)
        )

    def backward(self, gradient: Tensor, shape: Sequence[int]) -> Tensor:
        """The gradient of an input of this shape, from the output's."""
        stride = self.stride
        phases = F.conv2d(gradient, self.kernel, padding=self.padding).permute(0, 2, 3, 1)
        rows, columns = shape[2] // stride, shape[3] // stride
        phases = phases[:, self.skip : self.skip + rows, self.skip : self.skip + columns]
        interleaved = gradient.new_empty(shape[0], rows, stride, columns, stride, self.channels)
        interleaved.copy_(phases.unflatten(3, (stride, stride, self.channels)).permute(0, 1, 3, 2, 4, 5))
        return interleaved.view(shape[0], shape[2], shape[3], self.channels).permute(0, 3, 1, 2)
