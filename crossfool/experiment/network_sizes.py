"""Sizes of the zoo's models: parameters, and operations of a forward pass. Imports no torch."""

import csv
import functools
from dataclasses import dataclass
from importlib import resources

from crossfool.models import network_files
from crossfool.models.defended_models import plain_name
from crossfool.models.weights import registry


@dataclass(frozen=True)
class NetworkSize:
    """The size of a model.

    Attributes:
        parameters: Their number.
        operations: Floating-point operations of one image's forward pass.
    """

    parameters: int
    operations: float


def network_size(model: str) -> NetworkSize | None:
    """The size of a model, without its defence, by its name in params.yaml; None where it is not known."""
    return network_sizes().get(registry.spec(plain_name(model)).model)


@functools.cache
def network_sizes() -> dict[str, NetworkSize]:
    """The size of every model of the zoo by name, but timm's and those that a network's file does not declare."""
    table = resources.files("crossfool") / "experiment" / "operations.csv"
    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    known = {row["name"]: NetworkSize(int(row["parameters"]), float(row["operations"])) for row in rows}
    for name, network in network_files.networks().items():
        if network.parameters is not None and network.operations is not None:
            known[name] = NetworkSize(network.parameters, float(network.operations))
    for spec in registry.all_specs().values():
        if spec.network in known and spec.name not in known:  # convolutions' cost goes with the area
            size, side = known[spec.network], registry.all_specs()[spec.network].side
            known[spec.name] = NetworkSize(size.parameters, size.operations * ((spec.side or side) / side) ** 2)
    return known
