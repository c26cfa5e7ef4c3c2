"""Compute input gradients on a GPU in several ways, time them, and compare them with a reference.

All ways run with torch's switches as `inference/precision.py` sets them: deterministic kernels and no TF32 in float32.
"""

import copy
import functools
import gc
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from contestants import EPSILON, STEP_SIZE, about
from torch import Tensor, nn
from torch.nn import functional as F

from crossfool.attacks import backward, fusion
from crossfool.attacks.losses import cross_entropy
from crossfool.models.inference import pixel_model
from crossfool.models.inference.config import Compute
from crossfool.models.inference.precision import autocast, configure

STEPS = 3  # of torchattack's attack in a call
WARM_UP = 2  # calls before the first that is timed: they compile, choose kernels, record CUDA graphs
REPEATS, REPEAT_SECONDS = 5, 0.1  # a repeat lasts at least so long; calls of over a second are repeated FEW times
FEW = 3
Evaluate = Callable[[], Tensor]  # computes and returns the gradient (N,C,H,W), or adversarial images


@dataclass(frozen=True)
class Setting:
    """Inputs of a gradient.

    Attributes:
        network: Its own copy, on the device, its parameters frozen.
        described: mean, std, side and so on, as a weights file's metadata have them.
        precision: float32, tf32 or bfloat16.
        images: (N,C,H,W) float32, pixels 0..255, on the device.
        labels: (N,), likewise.
    """

    network: nn.Module
    described: dict[str, Any]
    precision: str
    images: Tensor
    labels: Tensor

    @classmethod
    def make(cls, name: str, precision: str, batch: int, device: torch.device) -> "Setting":
        """Set torch's switches, and draw the weights and a batch of images, the same ones every time."""
        configure(precision)
        network, described = random_network(name)
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (batch, 3, described["side"], described["side"]), generator=generator)
        labels = torch.randint(0, 1000, (batch,), generator=generator)
        network = copy.deepcopy(network).requires_grad_(False).to(device)
        return cls(network, described, precision, images.float().to(device), labels.to(device))


@functools.cache
def random_network(name: str) -> tuple[nn.Module, dict[str, Any]]:
    """Build a network with random weights on the CPU, and its description.

    A transformer's head of zeros, as torchvision makes it, is drawn as well: through it every gradient would be zero.
    """
    network, described = about(name)
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.Linear) and not module.weight.any():
            nn.init.normal_(module.weight, std=0.02)
    return network, described


def plain(setting: Setting) -> Evaluate:
    """Torchvision's network as it is built, differentiated by torch."""
    mean, std = (setting.images.new_tensor(setting.described[key]).view(1, -1, 1, 1) for key in ("mean", "std"))

    def evaluate() -> Tensor:
        x = setting.images.detach().requires_grad_()
        with autocast(x.device.type, setting.precision):
            logits = setting.network((x - mean) / std)
        return torch.autograd.grad(F.cross_entropy(logits.float(), setting.labels, reduction="sum"), x)[0]

    return evaluate


def folded(setting: Setting, compile: bool = False) -> Evaluate:
    """The model and the gradient of a cell: batch normalisation and 1/std folded, channels last."""
    compute = Compute.model_validate({"precision": setting.precision, "compile": compile, "chunk": 1})
    device = setting.images.device
    model = pixel_model.wrap(setting.network, setting.described, device=device, compute=compute)
    log_probabilities = fusion.source_log_probabilities([model], "probabilities")
    return functools.partial(
        backward.plain, cross_entropy.untargeted(log_probabilities, setting.labels), setting.images
    )


def compiled(setting: Setting) -> Evaluate:
    """Compute gradients of the folded network by torch.compile (`compile: true`), with CUDA graphs of its passes."""
    return folded(setting, compile=True)


def captured(setting: Setting) -> Evaluate:
    """Compute gradients of the folded network by one CUDA graph of both passes, without torch.compile."""
    evaluate = folded(setting)
    warm_up = torch.cuda.Stream()
    warm_up.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(warm_up):
        for _ in range(WARM_UP + 1):
            evaluate()
    torch.cuda.current_stream().wait_stream(warm_up)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        gradient = evaluate()

    def replay() -> Tensor:
        graph.replay()
        return gradient

    return replay


def torchattack(setting: Setting) -> Evaluate:
    """STEPS steps of torchattack's PGD as shipped: it does not freeze the network's parameters."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torchattack import PGD
    from torchvision.transforms import Normalize

    mean, std = ([value / 255 for value in setting.described[key]] for key in ("mean", "std"))
    network, device = setting.network.requires_grad_(True), setting.images.device
    options = {"eps": EPSILON / 255, "alpha": STEP_SIZE / 255, "steps": STEPS, "random_start": False}
    attack = PGD(network, normalize=Normalize(mean, std), device=device, **options)
    images = setting.images / 255

    def evaluate() -> Tensor:
        with autocast(device.type, setting.precision):
            return attack(images, setting.labels)

    return evaluate


WAYS: dict[str, Callable[[Setting], Evaluate]] = {
    "plain": plain,
    "folded": folded,
    "CUDA graph": captured,
    "compiled": compiled,
    "torchattack": torchattack,
}


def time_gradients(
    network: str, precision: str, batch: int, way: str, device: torch.device
) -> tuple[float, list[float]]:
    """Time the gradients of a batch in a way.

    Returns:
        Seconds that the way takes to start: folding, compiling, capturing and the first calls, until the gradients
        take the same time each. And the seconds of a batch's gradient, in each repeat.

    Raises:
        torch.OutOfMemoryError: the batch does not fit; other errors of torch or of the library are passed on.
    """
    gc.collect()  # whatever an earlier way has left
    if device.type == "cuda":
        torch.cuda.empty_cache()
    setting = Setting.make(network, precision, batch, device)
    begun = time.perf_counter()
    try:
        evaluate = WAYS[way](setting)
        for _ in range(WARM_UP):
            evaluate()
        synchronise(device)
        single = seconds_a_call(evaluate, device)
        start = time.perf_counter() - begun
        calls, repeats = math.ceil(REPEAT_SECONDS / single), REPEATS if single < 1 else FEW
        gradients = STEPS if way == "torchattack" else 1
        return start, [seconds_a_call(evaluate, device, calls) / gradients for _ in range(repeats)]
    finally:
        if way == "compiled":  # its CUDA graphs hold memory, and networks of a class share a limit of compilations
            torch.compiler.reset()


def synchronise(device: torch.device) -> None:
    """Wait until a GPU has computed everything."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_a_call(evaluate: Callable[[], object], device: torch.device, calls: int = 1) -> float:
    """Seconds of a call, of several calls one behind the other, until the device has computed all of them."""
    begun = time.perf_counter()
    for _ in range(calls):
        evaluate()
    synchronise(device)
    return (time.perf_counter() - begun) / calls


def agreement(gradient: Tensor, reference: Tensor) -> tuple[float, float]:
    """Compare gradients (N,C,H,W) with a reference.

    Returns:
        Equal signs in percent. And the greatest difference of a value, relative to the greatest absolute value of the
        reference for the same image, of the worst image.
    """
    ours, theirs = gradient.double().cpu().flatten(1), reference.double().cpu().flatten(1)
    signs = (ours.sign() == theirs.sign()).double().mean()
    difference = ((ours - theirs).abs().amax(1) / theirs.abs().amax(1)).max()
    return 100 * float(signs), float(difference)
