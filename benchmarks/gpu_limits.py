"""Measure a device's limits, by a matrix product and a copy, and count the bytes that a network's gradient moves."""

import copy
import functools
from typing import Any

import torch
from gpu_gradients import WARM_UP, random_network, seconds_a_call
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from crossfool.models.inference.precision import configure


def matrix_product(precision: str, device: torch.device, size: int, repeats: int = 10) -> float:
    """Measure the device's best rate at a product of square matrices of a size, in operations a second."""
    configure(precision)
    a, b = torch.randn(2, size, size, device=device, dtype=torch.bfloat16 if precision == "bfloat16" else None)
    product = functools.partial(torch.mm, a, b)
    seconds_a_call(product, device, WARM_UP)
    return 2 * size**3 / min(seconds_a_call(product, device) for _ in range(repeats))


def copy_bandwidth(device: torch.device, size: int, repeats: int = 10) -> float:
    """Measure the best bandwidth of a copy of `size` bytes within the device: bytes read and written a second."""
    source = torch.ones(size, device=device, dtype=torch.uint8)
    copied = functools.partial(torch.empty_like(source).copy_, source)
    seconds_a_call(copied, device, WARM_UP)
    return 2 * size / min(seconds_a_call(copied, device) for _ in range(repeats))


class _Traffic(TorchDispatchMode):
    """Sums the bytes that torch's operations read and write, each tensor of an operation once."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view and func is not torch.ops.aten._unsafe_view.default:
            tensors = (leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, Tensor))
            self.bytes += sum(min(one.nbytes, one.untyped_storage().nbytes()) for one in tensors)  # expanded: once
        return result


@functools.cache
def traffic(name: str) -> tuple[float, float]:
    """Count the bytes that the plain way's operations read and write in float32: of any batch, and more for each image.

    Nothing is computed: the tensors have shapes alone.
    """
    network, described = random_network(name)
    network, counted = copy.deepcopy(network).requires_grad_(False).to("meta"), []
    for batch in (2, 4):
        x = torch.empty(batch, 3, described["side"], described["side"], device="meta", requires_grad=True)
        with _Traffic() as mode:
            torch.autograd.grad(network(x).log_softmax(1)[:, 0].sum(), x)
        counted.append(mode.bytes)
    each = (counted[1] - counted[0]) / 2
    return counted[0] - 2 * each, each
