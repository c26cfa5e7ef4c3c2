"""Whole networks of torchvision and timm, as `models.wrap` makes them, against the same as their library built them.

Random seeded weights, batch normalisation that has seen data, two made images of the native side. Where the two input
gradients differ, the network's own float64 judges. `stress/networks.py` tries all, `tests/test_world.py` a few.
"""

import copy
import math
import time
from collections.abc import Iterator
from typing import Any

import torch
from conftest import calibrated
from torch import Tensor, fx, nn
from torch.nn import functional as F

from transferbench import dense, fusing, models, networks, weights, zoo
from transferbench.errors import UserError

IMAGES = 2
NEAR = 0.999  # cosine of two gradients that count as one
LOGITS = 1e-3  # the same of logits: their largest difference by their largest value
SLOW = 30  # seconds of plain float32 above which float64 is asked only where the two float32 differ
EQUAL, CHAOTIC, UNABLE, DIFFERENT = "equal", "as near to float64 as plain", "no source", "different"


def built(name: str) -> nn.Module:
    """A network with random weights of its name's seed, none of which leaves a layer without a say."""
    spec = zoo.spec(name)
    torch.manual_seed(sum(map(ord, name)))
    network = networks.build(spec.network or spec.name, spec.library).requires_grad_(False)
    for parameter in network.parameters():
        constant = parameter.numel() > 1 and parameter.min() == parameter.max()
        if constant and parameter.abs().max() < 0.01:  # biases; layer scales, which would silence what they scale
            parameter.normal_(0.0 if parameter.ndim > 1 else 0.1, 0.05)
    return network


def compared(name: str, side: int = 0, exact: bool | None = None) -> dict[str, Any]:
    """A row of the table.

    Args:
        name: Of the zoo.
        side: Of the images; the network's native one, where not given.
        exact: Whether to ask float64; where it is worth it, if not given.
    """
    row: dict[str, Any] = {"name": name, "library": zoo.spec(name).library}
    try:
        network = built(name)
        about = weights.describe(zoo.spec(name), network)
    except (UserError, AssertionError, RuntimeError, ValueError, TypeError, ImportError) as error:
        return row | {"verdict": UNABLE, "why": told(error)}
    side = side or about["side"]
    row |= {"side": side, "parameters": about["parameters"]}
    mean, std = (torch.tensor(about[key]).view(1, -1, 1, 1) for key in ("mean", "std"))
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(IMAGES, 3, 8, 8, generator=generator) * 255  # as in photographs, near pixels are alike
    pixels = F.interpolate(coarse, size=(side, side), mode="bicubic").clamp_(0, 255)
    pixels = (pixels + 20 * torch.randn(pixels.shape, generator=generator)).clamp_(0, 255).round_()

    def plain(x: Tensor, network: nn.Module = network) -> Tensor:
        return network((x - mean.to(x.dtype)) / std.to(x.dtype))

    try:
        calibrated(network, (pixels - mean) / std)
        begun = time.perf_counter()
        expected, wanted = gradient(plain, pixels)
        taken = time.perf_counter() - begun
    except Exception as error:  # a library's networks raise many kinds
        return row | {"verdict": UNABLE, "why": told(error)}
    if not wanted.isfinite().all() or not wanted.flatten(1).any(1).all():
        return row | {"verdict": UNABLE, "why": "its gradient is not finite, or zero"}

    def judge() -> Tensor:
        twice = copy.deepcopy(network).double()
        return gradient(lambda x: plain(x, twice), pixels.double())[1]

    wanted64 = judge() if exact or (exact is None and taken < SLOW) else None
    model = models.wrap(network, about | {"side": side}, device=torch.device("cpu"))
    row |= how(network, model.network)
    pixels = pixels.contiguous(memory_format=torch.channels_last)  # as `cells.craft` gives them
    found, own = gradient(model, pixels)
    row["logits"] = float((found - expected).abs().max() / expected.abs().max())
    row["ours_plain"] = cosine(own, wanted)
    if wanted64 is None and exact is None and row["ours_plain"] < NEAR:
        wanted64 = judge()
    if wanted64 is not None:
        row |= {"plain_float64": cosine(wanted, wanted64), "ours_float64": cosine(own, wanted64)}
    with torch.inference_mode():
        row["inference"] = float((model(pixels) - expected).abs().max() / expected.abs().max())
    return row | {"verdict": verdict(row)}


def verdict(row: dict[str, Any]) -> str:
    """What the numbers of a row say."""
    nearness = [row["ours_plain"]] if row.get("plain_float64") is None else [row["ours_float64"]]
    if max(row["logits"], row["inference"]) < LOGITS and min(nearness) >= NEAR:
        return EQUAL
    if row.get("plain_float64") is not None and row["plain_float64"] < NEAR:  # rounding alone moves it so far
        near = 1 - row["ours_float64"] <= 3 * (1 - row["plain_float64"])
        return CHAOTIC if near else DIFFERENT
    return DIFFERENT


def gradient(model: Any, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits, and the gradient of the cross-entropy by the pixels."""
    x = pixels.clone().requires_grad_()
    logits = model(x)
    labels = torch.arange(len(x)) * 7 + 1
    return logits.detach(), torch.autograd.grad(F.cross_entropy(logits, labels, reduction="sum"), x)[0]


def cosine(first: Tensor, second: Tensor) -> float:
    """The least of the images' own; rounded, not up."""
    alike = F.cosine_similarity(first.double().flatten(1), second.double().flatten(1))
    return math.floor(float(alike.min()) * 1e6) / 1e6


def how(network: nn.Module, made: nn.Module) -> dict[str, Any]:
    """Whether a network was traced, and how many parts of it were fused; or why not."""
    if isinstance(made, fx.GraphModule):
        chains = sum(isinstance(module, fusing.Chain) for module in made.modules())
        blocks = sum(isinstance(module, dense.Block) for module in made.modules())
        return {"traced": True, "fused": chains + blocks}
    try:
        fx.symbolic_trace(network)
    except Exception as error:
        return {"traced": False, "fused": 0, "why": told(error)}
    return {"traced": False, "fused": 0, "why": "it takes more than images"}


def told(error: BaseException) -> str:
    """An error in one short line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:160]


def torchvision_names() -> list[str]:
    """All of torchvision's classifiers."""
    from torchvision import models as published

    return list(published.list_models(module=published))


def timm_names() -> Iterator[tuple[str, str]]:
    """Families (modules) of timm, and the smallest network of ImageNet's classes in each."""
    timm = networks.timm_library()
    for family in timm.list_modules():
        sizes = {}
        for name in timm.list_models(module=family):
            try:
                with torch.device("meta"):
                    network = timm.create_model(name)
                if weights.describe(zoo.spec(f"timm_{name}"), network):
                    sizes[name] = sum(parameter.numel() for parameter in network.parameters())
            except Exception:  # some cannot be made without memory, some have other classes
                continue
        if sizes:
            yield family, f"timm_{min(sizes, key=sizes.__getitem__)}"
        else:
            yield family, ""
