"""Write the weights file of a defended model: the plain model's weights, behind the defence."""

from pathlib import Path

import torch

from crossfool.models import defended_network, weights_file
from crossfool.models.defended_models import find_defended
from crossfool.models.spec import Spec
from crossfool.models.weights.model_description import describe
from crossfool.storage.tensors import TensorFile

_KEPT = ("file", "file_sha256", "version", "recipe")  # of the plain model's description: where its weights are from


def write_defended_weights(spec: Spec, plain: Path, out: Path) -> None:
    """Write a defended model's weights file.

    Args:
        spec: The defended model's.
        plain: The plain model's weights file.
        out: The weights file.

    Raises:
        UserError: the plain model's file is damaged.
    """
    defended = find_defended(spec.network)
    assert defended is not None, spec
    file = TensorFile(plain)
    origin = weights_file.read_description(file, defended.plain.name)
    network = defended_network.build(spec.network)
    network.network.load_state_dict({name: torch.from_numpy(file[name].copy()) for name in file.names()}, assign=True)
    network.mean, network.std = torch.tensor(origin["mean"]), torch.tensor(origin["std"])
    description = describe(spec, network) | {key: origin[key] for key in _KEPT if key in origin}
    description |= {"model": defended.plain.name, "defence": defended.summary, "parameters": origin["parameters"]}
    weights_file.write_weights(out, network.state_dict(), description)
