"""Load the weights of a model of the user's own, try the model on a few images, and write its weights file."""

import sys
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from crossfool.errors import UserError
from crossfool.models import own_models, own_network, weights_file
from crossfool.models.inference import pixel_model
from crossfool.models.own_models import OwnNetwork
from crossfool.models.spec import Spec
from crossfool.models.weights.checkpoint_file import read
from crossfool.models.weights.model_description import describe
from crossfool.models.weights.state_dict_misfits import normalisation_kind
from crossfool.models.weights.state_dicts import load_published
from crossfool.storage.hashing import sha256

TRIED = 4  # images
_CLOSE = 1e-3  # relative difference of logits that rounding explains


def write_own_weights(spec: Spec, digest: str, out: Path) -> None:
    """Load the weights of a model of the user's own, try the model, and write its weights file to `out`.

    Args:
        spec: The model's.
        digest: The sha256 that its file must have.
        out: The weights file.

    Raises:
        UserError: the file is missing, another, unsafe or does not fit; or the model is no deterministic classifier of
            single images.
    """
    own = own_models.find_own(spec.network)
    assert own is not None, spec
    path = Path(own.weights)
    own_models.require_weights(own)
    if (found := sha256(path)) != digest:
        raise UserError(f"{own.name}: {path} has sha256 {found[:16]}..., expected {digest[:16]}...; which is right?")
    state, network = read(path), own_network.build_as_written(own)
    with own_network.users_code(own, "loading the weights"):
        loaded = load_published(own.name, network, state, channels=len(own.mean))
    if note := loaded.told(path.name):
        print(f"{own.name}: {note}", file=sys.stderr)
    _refuse_other_normalisation(own, network, loaded.normalisation)
    network = own_network.to_logits(network, own)
    description = describe(spec, network) | {"file": path.name, "file_sha256": digest, "version": spec.version}
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    try_model(own, network)
    weights_file.write_weights(out, weights, description)


def _refuse_other_normalisation(own: OwnNetwork, network: nn.Module, in_file: dict[str, list[float]]) -> None:
    """Refuse images that would be normalised twice, or otherwise than the weights file says.

    Raises:
        UserError: they would be.
    """
    stated = {"mean": own.mean, "std": own.std}
    for kind, values in in_file.items():
        if not torch.allclose(torch.tensor(values), torch.tensor(stated[kind]), rtol=_CLOSE):
            raise UserError(
                f"{own.name}: the weights file has {kind} {_text(values)} (pixels 0..255), and params.yaml "
                f"{_text(stated[kind])}; write the right one into params.yaml, and remove the other from the file"
            )
    inside = {normalisation_kind(key, value): key for key, value in network.state_dict().items()}
    is_plain = not any(own.mean) and set(own.std) <= {1.0, 255.0}
    if {"mean", "std"} <= inside.keys() and not is_plain:
        raise UserError(
            f"{own.name}: the network normalises by {inside['mean']} and {inside['std']} itself, and params.yaml by "
            f"{_text(own.mean)} and {_text(own.std)} before it; set mean to zeros, and std to 255 where the network "
            "takes pixels 0..1, to 1 where it takes 0..255"
        )


def _text(values: Iterable[float]) -> str:
    return ", ".join(f"{value:.6g}" for value in values)


def try_model(own: OwnNetwork, network: nn.Module) -> None:
    """Try a network of the user's own on a few random images; it may be traced afterwards.

    Raises:
        UserError: a logit is not finite; logits are probabilities, differ from call to call, depend on the other images
            of a batch, or come out otherwise once torch.fx has traced the network.
    """
    shape = (TRIED, len(own.mean), own.side, own.side)
    images = torch.randint(256, shape, generator=torch.Generator().manual_seed(0)).float()
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (own.mean, own.std))

    def logits(model: nn.Module, x: Tensor) -> Tensor:
        with own_network.users_code(own, "the network"), torch.no_grad():
            given: Tensor = model(x)
        wanted = (len(x), own_models.CLASSES[own.family])
        if tuple(given.shape) != wanted:
            raise UserError(f"{own.name}: the network gives {tuple(given.shape)} for {len(x)} images, not {wanted}")
        if not given.isfinite().all():
            raise UserError(f"{own.name}: a logit of a random image is NaN or infinite; look at its weights")
        return given.float()

    x = (images - mean) / std
    first = logits(network, x)

    def refuse_otherwise(others: Tensor, why: str, *, close: float = _CLOSE) -> None:
        if float((others - first).abs().max()) > close * float(first.abs().max()):
            raise UserError(f"{own.name}: {why}")

    if bool((first >= 0).all()) and bool(((first.sum(1) - 1).abs() < _CLOSE).all()):
        raise UserError(f"{own.name}: the network gives probabilities, expected logits; leave out its softmax")
    refuse_otherwise(
        logits(network, x), "an image's logits differ from call to call; draw no random numbers in eval()", close=0
    )
    alone = torch.cat([logits(network, x[place : place + 1]) for place in range(TRIED)])
    refuse_otherwise(
        alone, "logits of an image depend on the others of its batch, as with statistics of the batch; use running ones"
    )
    model = pixel_model.wrap(
        network,
        {"mean": own.mean, "std": own.std, "side": own.side, "interpolation": own.interpolation},
        device=torch.device("cpu"),
    )
    refuse_otherwise(
        logits(model, images),
        "torch.fx traces the network to one of other logits; give its forward a second, optional argument",
    )
