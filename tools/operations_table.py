"""Write crossfool/experiment/operations.csv: parameters of every network, and operations of its forward pass.

torchvision's networks as it publishes them (twice its count of multiply-adds); our own counted by torch, without
numbers (on the meta device).
"""

import csv
import sys
from collections.abc import Iterator

import torch
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import get_model_weights

from crossfool.models.networks import build
from crossfool.models.weights import registry

CHANNELS = {"mnist": 1, "cifar10": 3, "imagenet": 3}


def own(spec: registry.Spec) -> tuple[int, int]:
    """Count the parameters of a network of our own, and the operations of one image's forward pass."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network = build.crossfool_network(spec.name).eval()
        network(torch.empty(1, CHANNELS[spec.family], spec.side, spec.side))
    return sum(p.numel() for p in network.parameters()), counter.get_total_flops()


def published(spec: registry.Spec) -> tuple[int, int]:
    """Read the parameters and operations of a network from torchvision's metadata."""
    meta = get_model_weights(spec.name)[spec.version].meta
    return meta["num_params"], round(2e9 * meta["_ops"])


def rows() -> Iterator[tuple[str, int, int]]:
    """Name, parameters and operations of every network."""
    for spec in registry.all_specs().values():
        if spec.network:
            continue  # another model's network, which has a row
        yield spec.name, *(own(spec) if spec.library == "crossfool" else published(spec))


if __name__ == "__main__":
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["name", "parameters", "operations"])
    writer.writerows(rows())
