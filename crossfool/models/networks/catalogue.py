"""Catalogue of this package's networks: the module and class that a name stands for. Imports no torch."""

from dataclasses import dataclass

from crossfool.errors import unknown_name


@dataclass(frozen=True)
class Entry:
    """A network of this package.

    Attributes:
        file: Name of its module in this folder.
        class_name: Name of its class there.
        arguments: Arguments that the class is called with.
    """

    file: str
    class_name: str
    arguments: tuple[int, ...] = ()

    @property
    def module(self) -> str:
        """Dotted name of its module."""
        return f"{__package__}.{self.file}"


NETWORKS = {
    "fnn0": Entry("fnn", "FNN", (0,)),
    "fnn2": Entry("fnn", "FNN", (2,)),
    "fnn4": Entry("fnn", "FNN", (4,)),
    "fnn8": Entry("fnn", "FNN", (8,)),
    "lenet": Entry("lenet", "LeNet"),
    "resnet20": Entry("resnet_cifar", "ResNetCIFAR", (20,)),
    "resnet44": Entry("resnet_cifar", "ResNetCIFAR", (44,)),
    "resnet56": Entry("resnet_cifar", "ResNetCIFAR", (56,)),
    "densenet": Entry("densenet_cifar", "DenseNetCIFAR"),
    "efficientnet_lite0": Entry("efficientnet_lite", "EfficientNetLite", (0,)),
    "efficientnet_lite1": Entry("efficientnet_lite", "EfficientNetLite", (1,)),
    "efficientnet_lite2": Entry("efficientnet_lite", "EfficientNetLite", (2,)),
}


def find_network(name: str) -> Entry:
    """The catalogue's entry of a network.

    Raises:
        UserError: no such network.
    """
    if name not in NETWORKS:
        raise unknown_name("network", name, NETWORKS)
    return NETWORKS[name]


def modules(name: str, library: str) -> tuple[str, ...]:
    """Dotted names of this package's modules that define a network; none where it is another library's.

    Args:
        name: As `library` calls the network.
        library: crossfool, torchvision or timm.

    Raises:
        UserError: this package has no such network.
    """
    return (find_network(name).module,) if library == "crossfool" else ()
