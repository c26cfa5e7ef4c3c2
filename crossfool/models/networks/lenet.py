"""LeNet for CIFAR-10: LeCun et al. 1998, with today's ReLU, max pooling and more channels."""

from torch import Tensor, nn

FAMILY = {
    "class_name": "LeNet",
    "cite": "LeCun et al. 1998, Proc. IEEE 86(11)",
    "family": "cifar10",
    "mean": (123.675, 116.28, 103.53),
    "std": (58.395, 57.12, 57.375),
    "side": 32,
}
NETWORKS = {"lenet": {"parameters": 466_122, "operations": 14_827_520}}


class LeNet(nn.Module):
    """Logits (N,10) of normalised images (N,3,32,32)."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 32, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(nn.Linear(64 * 5 * 5, 256), nn.ReLU(), nn.Linear(256, 10))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(x).flatten(1))
        return logits
