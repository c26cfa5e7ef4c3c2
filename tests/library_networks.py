"""Whole networks of torchvision and timm, as `models.wrap` makes them, against the same as their library built them.

Random seeded weights, batch normalisation that has seen data, two made images of the native side. Where the two input
gradients differ, the network's own float64 judges. `stress/networks.py` tries all,
`tests/models/test_library_networks.py` a few.
"""

import copy
import math
from typing import Any

import torch
from builders import calibrated
from torch import Tensor, fx, nn
from torch.nn import functional as F

from crossfool.errors import UserError
from crossfool.models import build
from crossfool.models.inference import pixel_model
from crossfool.models.inference.cpu import dense_blocks, fusion
from crossfool.models.weights import model_description, registry

IMAGES = 2
NEAR = 0.999  # cosine of two gradients that count as one
LOGITS = 1e-3  # the same of logits: their largest difference by their largest value
HUGE = 200_000_000  # parameters of which there is no room for a copy
ALIKE = 0.9999  # the same, above which nobody asks float64, which takes as long as all else
EQUAL, CHAOTIC, UNABLE, DIFFERENT = "equal", "as near to float64 as plain", "no source", "different"
ROUNDED = "below 0.999 by rounding alone"  # in float64 the folded network is the library's own

TIMM = {  # family (module) of timm -> its smallest network, or nearly, that tells ImageNet's classes apart
    "beit": "beit_base_patch16_224",
    "byoanet": "halonet_h1",
    "byobnet": "repvgg_a0",
    "cait": "cait_xxs24_224",
    "coat": "coat_tiny",
    "convit": "convit_tiny",
    "convmixer": "convmixer_768_32",
    "convnext": "convnext_atto",
    "cpubone": "cpubone_nano",
    "crossvit": "crossvit_tiny_240",
    "csatv2": "csatv2",
    "cspnet": "cs3darknet_focus_s",
    "cspnext": "cspnext_tiny",
    "davit": "davit_tiny",
    "deit": "deit_tiny_patch16_224",
    "densenet": "densenet121",
    "dla": "dla46x_c",
    "dpn": "dpn48b",
    "edgenext": "edgenext_xx_small",
    "efficientformer": "efficientformer_l1",
    "efficientformer_v2": "efficientformerv2_s0",
    "efficientnet": "efficientnet_b0",
    "efficientvim": "efficientvim_m1",
    "efficientvit_mit": "efficientvit_b0",
    "efficientvit_msra": "efficientvit_m0",
    "eva": "eva02_tiny_patch14_336",
    "fasternet": "fasternet_t0",
    "fastvit": "fastvit_t8",
    "focalnet": "focalnet_tiny_srf",
    "gcvit": "gcvit_xxtiny",
    "ghostnet": "ghostnet_050",
    "hardcorenas": "hardcorenas_b",
    "hgnet": "hgnetv2_b0",
    "hiera": "hiera_tiny_224",
    "hieradet_sam2": "hieradet_small",
    "hrnet": "hrnet_w18_small",
    "iformer": "iformer_t",
    "inception_next": "inception_next_atto",
    "inception_resnet_v2": "inception_resnet_v2",
    "inception_v3": "inception_v3",
    "inception_v4": "inception_v4",
    "lcnetv2": "lcnetv2_small",
    "levit": "levit_128s",
    "lowformer": "lowformer_b0",
    "mambaout": "mambaout_femto",
    "maxxvit": "maxvit_pico_rw_256",
    "metaformer": "poolformerv2_s12",
    "mlp_mixer": "gmlp_ti16_224",
    "mobilenetv3": "mobilenetv3_small_050",
    "mobilenetv5": "mobilenetv5_base",
    "mobilevit": "mobilevit_xxs",
    "mvitv2": "mvitv2_tiny",
    "naflexvit": "naflexvit_base_patch16_parfac_gap",
    "nasnet": "nasnetalarge",
    "nest": "nest_tiny",
    "nextvit": "nextvit_small",
    "nfnet": "nfnet_l0",
    "pit": "pit_ti_224",
    "pnasnet": "pnasnet5large",
    "pvt_v2": "pvt_v2_b0",
    "rdnet": "rdnet_tiny",
    "regnet": "regnetx_002",
    "repghost": "repghostnet_050",
    "repvit": "repvit_m0_9",
    "res2net": "res2net50d",
    "resnest": "resnest14d",
    "resnet": "resnet18",
    "resnetv2": "resnetv2_18",
    "rexnet": "rexnet_100",
    "selecsls": "selecsls42",
    "senet": "legacy_seresnet18",
    "sequencer": "sequencer2d_s",
    "shvit": "shvit_s1",
    "sknet": "skresnet18",
    "starnet": "starnet_s050",
    "swiftformer": "swiftformer_xs",
    "swin_transformer": "swin_tiny_patch4_window7_224",
    "swin_transformer_v2": "swinv2_tiny_window8_256",
    "swin_transformer_v2_cr": "swinv2_cr_tiny_ns_224",
    "tiny_vit": "tiny_vit_21m_384",
    "tnt": "tnt_s_patch16_224",
    "tresnet": "tresnet_m",
    "twins": "twins_svt_small",
    "vgg": "vgg11_bn",
    "visformer": "visformer_tiny",
    "vision_transformer": "vit_tiny_patch16_224",
    "vision_transformer_hybrid": "vit_tiny_r_s16_p8_224",
    "vision_transformer_relpos": "vit_relpos_small_patch16_224",
    "vision_transformer_sam": "samvit_base_patch16_224",
    "volo": "volo_d1_224",
    "vovnet": "ese_vovnet19b_slim_dw",
    "xception": "legacy_xception",
    "xception_aligned": "xception41",
    "xcit": "xcit_nano_12_p16_224",
}
NONE = {"deepseek_vit", "gemma4_vit", "qwen3_vit", "vitamin"}  # families that have none


def built(name: str) -> nn.Module:
    """A network with random weights of its name's seed, none of which leaves a layer without a say."""
    spec = registry.spec(name)
    torch.manual_seed(sum(map(ord, name)))
    network = build.build(spec.network or spec.name, spec.library).requires_grad_(False)
    for parameter in network.parameters():
        constant = parameter.numel() > 1 and parameter.min() == parameter.max()
        if constant and parameter.abs().max() < 0.01:  # biases; layer scales, which would silence what they scale
            parameter.normal_(0.0 if parameter.ndim > 1 else 0.1, 0.05)
    return network


def compared(name: str, side: int = 0) -> dict[str, Any]:
    """A row of the table.

    Args:
        name: Of the zoo.
        side: Of the images; the network's native one, where not given.
    """
    row: dict[str, Any] = {"name": name, "library": registry.spec(name).library}
    try:
        network = built(name)
        about = model_description.describe(registry.spec(name), network)
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
        expected, wanted = gradient(plain, pixels)
    except Exception as error:  # a library's networks raise many kinds
        return row | {"verdict": UNABLE, "why": told(error)}
    if not wanted.isfinite().all() or not wanted.flatten(1).any(1).all():
        return row | {"verdict": UNABLE, "why": "its gradient is not finite, or zero"}

    exact = copy.deepcopy(network) if about["parameters"] < HUGE else None  # `wrap` may change the order in memory
    model = pixel_model.wrap(network, about | {"side": side}, device=torch.device("cpu"))
    row |= how(network, model.network)
    pixels = pixels.contiguous(memory_format=torch.channels_last)  # as `cells.craft` gives them
    found, own = gradient(model, pixels)
    row["logits"] = float((found - expected).abs().max() / expected.abs().max())
    row["ours_plain"] = cosine(own, wanted)
    if row["ours_plain"] < ALIKE and exact is not None:
        exact.double()
        wanted64 = gradient(lambda x: plain(x, exact), pixels.double())[1]
        row |= {"plain_float64": cosine(wanted, wanted64), "ours_float64": cosine(own, wanted64)}
        if row["ours_float64"] < NEAR <= row["plain_float64"]:
            folded = pixel_model.fold_batch_norm(exact)
            row["folded_float64"] = cosine(gradient(lambda x: plain(x, folded), pixels.double())[1], wanted64)
    with torch.inference_mode():
        row["inference"] = float((model(pixels) - expected).abs().max() / expected.abs().max())
    return row | {"verdict": verdict(row)}


def verdict(row: dict[str, Any]) -> str:
    """The verdict that follows from a row's numbers."""
    nearness = [row["ours_plain"]] if row.get("plain_float64") is None else [row["ours_float64"]]
    if max(row["logits"], row["inference"]) < LOGITS and min(nearness) >= NEAR:
        return EQUAL
    if row.get("plain_float64") is not None:
        near = 1 - row["ours_float64"] <= 3 * (1 - row["plain_float64"])
        if near and row["plain_float64"] < NEAR:  # rounding alone moves it so far
            return CHAOTIC
        if near and row.get("folded_float64", 0.0) > 0.999998:
            return ROUNDED
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
        chains = sum(isinstance(module, fusion.Chain) for module in made.modules())
        blocks = sum(isinstance(module, dense_blocks.Block) for module in made.modules())
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


def names() -> dict[str, str]:
    """All networks that are tried, and the family of timm that each stands for, or ""."""
    return dict.fromkeys(torchvision_names(), "") | {f"timm_{name}": family for family, name in TIMM.items()}


def seeded_network(name: str) -> nn.Module:
    """A network of torchvision with seeded random weights, scaled so that activations neither vanish nor explode.

    It is made without memory first: torchvision's own initialisation takes seconds, for nothing.
    """
    with torch.device("meta"):
        network = build.build(name, "torchvision")
    network = network.to_empty(device="cpu").requires_grad_(False).eval()
    torch.manual_seed(sum(map(ord, name)))
    few = torch.rand(1_000_003)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.uniform_(0.5, 1.0)
            module.bias.normal_(0, 0.1)
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
        elif isinstance(module, nn.Conv2d | nn.Linear):
            bound = math.sqrt(6 / module.weight[0].numel())  # variance 2 / fan-in, as ReLU halves it
            count = module.weight.numel()  # of vgg, 100 million in one layer: the same numbers again and again
            module.weight.view(-1).copy_(few.repeat(-(-count // len(few)))[:count]).sub_(0.5).mul_(2 * bound)
            if module.bias is not None:
                module.bias.uniform_(-0.1, 0.1)
    return network
