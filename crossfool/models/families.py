"""What a model's name says of its architecture: family and depth. Imports no torch."""

import re

# timm's words for where weights are from, in names of today and before
LIBRARY = r"(?:timm_)?(?:(?:tf|gluon|legacy|test|tv|ig|ssl|swsl|jx|ens|adv)_)*"
LAYERED = ("resnet", "wide_resnet", "resnext", "vgg", "densenet", "fnn")


def family(model: str) -> str:
    """The architecture that a model is a size or version of: `resnet` of `resnet18`, `vgg` of `vgg13_bn`."""
    found = re.match(LIBRARY + r"(wide_resnet|efficientnet_lite|[A-Za-z]+?(?=v?\d|_|$))", model)
    return found[1] if found else model


def depth(model: str) -> int | None:
    """How many layers the name says the model has; None where it says nothing, or a version or width."""
    found = re.match(LIBRARY + rf"(?:{'|'.join(LAYERED)})(?:v\d_)?(\d+)", model)
    return int(found[1]) if found else None
