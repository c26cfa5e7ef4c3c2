"""Write crossfool/experiment/operations.csv: parameters and operations of torchvision's networks, as it publishes them.

    python tools/operations_table.py > operations.csv && mv operations.csv crossfool/experiment/

With names of this package's networks it prints what torch counts of these, without numbers (on the meta device), for
their files in crossfool/models/networks/. Operations are twice the multiply-adds.

    python tools/operations_table.py resnet20
"""

import csv
import sys
from collections.abc import Iterator

import torch
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import get_model_weights

from crossfool.models import build
from crossfool.models.spec import Spec
from crossfool.models.weights import registry


def own(spec: Spec) -> tuple[int, int]:
    """Count the parameters of a network of our own, and the operations of one image's forward pass."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network = build.crossfool_network(spec.name).eval()
        network(torch.empty(1, len(spec.mean), spec.side, spec.side))
    return sum(p.numel() for p in network.parameters()), counter.get_total_flops()


def published(spec: Spec) -> tuple[int, int]:
    """Read the parameters and operations of a network from torchvision's metadata."""
    meta = get_model_weights(spec.name)[spec.version].meta
    return meta["num_params"], round(2e9 * meta["_ops"])


def rows() -> Iterator[tuple[str, int, int]]:
    """Name, parameters and operations of every network of torchvision's."""
    for spec in registry.all_specs().values():
        if spec.library == "torchvision" and not spec.network:  # else another model's network, which has a row
            yield spec.name, *published(spec)


if __name__ == "__main__":
    if sys.argv[1:]:
        for name in sys.argv[1:]:
            parameters, operations = own(registry.spec(name))
            print(f'"parameters": {parameters:_}, "operations": {operations:_}')
    else:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(["name", "parameters", "operations"])
        writer.writerows(rows())
