"""Arithmetic of the networks: `precision` in params.yaml, set in torch's switches.

float32 means float32 on a GPU, too, and the same every time: no TF32, deterministic kernels. tf32 and
bfloat16 are for speed: a GPU may then choose its kernels by trying them, so that equal statistics, not
equal bytes, come out of two runs. On a CPU, tf32 is float32.
"""

import contextlib
from typing import Any

import torch


def configure(precision: str) -> None:
    """Set torch's switches for a precision (float32, tf32 or bfloat16), for the whole process."""
    exact = precision == "float32"
    torch.backends.cuda.matmul.allow_tf32 = not exact
    torch.backends.cudnn.allow_tf32 = not exact
    torch.backends.cudnn.deterministic = exact
    torch.backends.cudnn.benchmark = not exact


def autocast(device: str, precision: str) -> contextlib.AbstractContextManager[Any]:
    """A context for a network's computation: bfloat16 where torch deems it safe, or no change for other precisions."""
    return torch.autocast(device, torch.bfloat16) if precision == "bfloat16" else contextlib.nullcontext()
