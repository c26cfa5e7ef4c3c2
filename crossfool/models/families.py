"""Family and depth of an architecture, read from a model's name. Imports no torch."""

import re

# prefixes by which timm's names, today's and older ones, tell where weights come from
LIBRARY = r"(?:timm_)?(?:(?:tf|gluon|legacy|test|tv|ig|ssl|swsl|jx|ens|adv)_)*"
LAYERED = ("resnet", "wide_resnet", "resnext", "vgg", "densenet", "fnn")


def family(model: str) -> str:
    """Name of the architecture that a model is a size or version of: `resnet` for `resnet18`, `vgg` for `vgg13_bn`."""
    match = re.match(LIBRARY + r"(wide_resnet|efficientnet_lite|[A-Za-z]+?(?=v?\d|_|$))", model)
    return match[1] if match else model


def depth(model: str) -> int | None:
    """Number of layers in a model's name; None where the name has no number, or one that is a version or width."""
    match = re.match(LIBRARY + rf"(?:{'|'.join(LAYERED)})(?:v\d_)?(\d+)", model)
    return int(match[1]) if match else None
