"""Convolutions with their activation, bias and normalisation folded in, and the gradient for the input."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crossfool.models.inference.cpu.winograd import Winograd

INFINITY = float("inf")
CACHE = 8 << 20  # bytes of a tensor that are to stay in the processor's cache

onednn = torch.ops.mkldnn  # its fused convolution and packed weights, as torch's own compiler uses them


@dataclass(frozen=True)
class Clamp:
    """ReLU (0, infinity) or ReLU6 (0, 6)."""

    low: float
    high: float

    @property
    def fused(self) -> tuple[str, list[float]]:
        """Its name and numbers for oneDNN."""
        return ("relu", []) if self.high == INFINITY else ("hardtanh", [self.low, self.high])

    def backward(self, gradient: Tensor, output: Tensor, *, own: bool) -> Tensor:
        """The gradient where the output lies strictly between the limits, else 0; in place if it is our own."""
        into = gradient if own else torch.empty_like(gradient)
        if self.high == INFINITY:
            torch.ops.aten.threshold_backward.grad_input(gradient, output, self.low, grad_input=into)
        else:
            torch.ops.aten.hardtanh_backward.grad_input(gradient, output, self.low, self.high, grad_input=into)
        return into


class Affine:
    """Batch normalisation before an activation and a convolution, as DenseNet has it."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        assert norm.running_mean is not None and norm.running_var is not None
        scale = (norm.running_var.double() + norm.eps).rsqrt() * (1.0 if norm.weight is None else norm.weight.double())
        shift = (0.0 if norm.bias is None else norm.bias.double()) - norm.running_mean.double() * scale
        self.scale, self.shift = (value.float().view(1, -1, 1, 1) for value in (scale, shift))


class Convolution:
    """One convolution: forward with its activation, and the gradient of its input.

    Weights are packed when they are first used, and kept in no other form where that serves.
    """

    def __init__(self, conv: nn.Conv2d, clamp: Clamp | None) -> None:
        weight = conv.weight.detach().contiguous(memory_format=torch.channels_last)
        self.weight: Tensor | None = weight
        self.bias = None if conv.bias is None else conv.bias.detach()
        self.outputs, self.groups = len(weight), conv.groups
        self.padding, self.stride, self.dilation = _ints(conv.padding), _ints(conv.stride), _ints(conv.dilation)
        self.clamp = clamp
        self.attr, self.scalars = ("none", []) if clamp is None else clamp.fused
        self.turned = _turned_padding(weight, self.padding, self.stride, self.dilation, self.groups)
        self.phases = _Phases.of(weight, self.padding, self.stride, self.dilation, self.groups)
        self._plain = self.padding == self.stride == self.dilation == [1, 1] and self.groups == 1
        self._winograd: Winograd | None = None
        self._ahead: Tensor | None = None
        self._back: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Activated output of images (N,C,H,W), channels last."""
        if self._ahead is None and self._winograd is None:
            assert self.weight is not None
            if self._plain and Winograd.pays(self.weight, min(x.shape[2:])):
                self._winograd, self.weight = Winograd(self.weight), None
            else:
                self._ahead = self._packed(self.weight, x, self.padding)
        if self._winograd is not None:
            output = self._winograd.forward(x)
            if self.bias is not None:
                output += self.bias.view(1, -1, 1, 1)
            return output if self.clamp is None else output.clamp_(self.clamp.low, self.clamp.high)
        assert self._ahead is not None
        return self._fused(x, self._ahead, self.bias, self.padding, self.attr, self.scalars)

    def backward(self, gradient: Tensor, shape: Sequence[int]) -> Tensor:
        """The gradient of an input of this shape, from that of the output before its activation."""
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        if self._winograd is not None:
            return self._winograd.backward(gradient)
        if self.turned is not None:
            if self._back is None:
                assert self.weight is not None and self._ahead is not None
                turned = self.weight.flip(2, 3) if self.groups > 1 else self.weight.flip(2, 3).transpose(0, 1)
                turned = turned.contiguous(memory_format=torch.channels_last)
                self._back, self.weight = self._packed(turned, gradient, self.turned), None
            return self._fused(gradient, self._back, None, self.turned, "none", [])
        if self.phases is not None and self.phases.fits(gradient, shape):
            return self.phases.backward(gradient, shape)
        assert self.weight is not None
        # the input is looked at for its shape alone
        like = torch.empty(shape, dtype=gradient.dtype, memory_format=torch.channels_last)
        geometry = (self.stride, self.padding, self.dilation, False, [0, 0], self.groups)
        gradients = torch.ops.aten.convolution_backward(
            gradient, like, self.weight, None, *geometry, [True, False, False]
        )
        of_input: Tensor = gradients[0]
        return of_input

    def _packed(self, weight: Tensor, x: Tensor, padding: list[int]) -> Tensor:
        packed: Tensor = onednn._reorder_convolution_weight(
            weight, padding, self.stride, self.dilation, self.groups, list(x.shape)
        )
        return packed

    def _fused(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, padding: list[int], attr: str, scalars: list[float]
    ) -> Tensor:
        output: Tensor = onednn._convolution_pointwise(
            x, weight, bias, padding, self.stride, self.dilation, self.groups, attr, scalars, ""
        )
        return output


def _ints(values: Any) -> list[int]:
    return [int(value) for value in values]


def _turned_padding(
    weight: Tensor, padding: list[int], stride: list[int], dilation: list[int], groups: int
) -> list[int] | None:
    """Padding of the convolution that is this one's backward pass; None where there is none (a stride, groups)."""
    depthwise = weight.shape[1] == 1 and groups == weight.shape[0]
    around = [d * (k - 1) - p for d, k, p in zip(dilation, weight.shape[2:], padding, strict=True)]
    return around if stride == [1, 1] and min(around) >= 0 and (groups == 1 or depthwise) else None


class _Phases:
    """The backward pass of a strided convolution of few channels, all pixel phases at once.

    With y[i] = sum_u w[u] x[s i + u - p], the gradient of x at s q + r - p is sum_t w[r + s t] gy[q - t]:
    for each phase r a dense convolution of gy, whose outputs are then woven together.
    """

    @classmethod
    def of(
        cls, weight: Tensor, padding: list[int], stride: list[int], dilation: list[int], groups: int
    ) -> "_Phases | None":
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
        # (O,C,t,r,t,r) -> (r,r,C,O,t,t), the taps turned around
        kernel = weight.view(outputs, channels, taps, stride, taps, stride).permute(3, 5, 1, 0, 2, 4).flip(4, 5)
        self.kernel = kernel.reshape(-1, outputs, taps, taps).contiguous(memory_format=torch.channels_last)
        self.channels = channels
        self.skip = (padding + lead) // stride  # rows of the dense convolution before the first pixel's
        self.around = taps - 1

    def fits(self, gradient: Tensor, shape: Sequence[int]) -> bool:
        """Whether the dense convolution reaches every pixel."""
        return all(
            side % self.stride == 0 and self.skip + side // self.stride <= out + self.around
            for side, out in zip(shape[2:], gradient.shape[2:], strict=True)
        )

    def backward(self, gradient: Tensor, shape: Sequence[int]) -> Tensor:
        s = self.stride
        phases = F.conv2d(gradient, self.kernel, padding=self.around).permute(0, 2, 3, 1)
        rows, columns = shape[2] // s, shape[3] // s
        phases = phases[:, self.skip : self.skip + rows, self.skip : self.skip + columns]
        found = gradient.new_empty(shape[0], rows, s, columns, s, self.channels)
        found.copy_(phases.unflatten(3, (s, s, self.channels)).permute(0, 1, 3, 2, 4, 5))
        return found.view(shape[0], shape[2], shape[3], self.channels).permute(0, 3, 1, 2)
