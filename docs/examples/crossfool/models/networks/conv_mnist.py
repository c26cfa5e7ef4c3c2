"""Convolutional networks for MNIST: two convolutions with pooling, and a linear classifier."""

from torch import Tensor, nn

FAMILY = {
    "class_name": "ConvMNIST",
    "cite": "LeCun et al. 1998, Proc. IEEE 86(11), without its hidden linear layers",
    "family": "mnist",
    "mean": (33.328500000000005,),  # 255 * 0.1307
    "std": (78.5655,),  # 255 * 0.3081
    "side": 28,
}
NETWORKS = {
    "conv8": {"arguments": (8,), "parameters": 9_098, "operations": 580_160},
    "conv16": {"arguments": (16,), "parameters": 20_490, "operations": 2_063_488},
}


class ConvMNIST(nn.Module):
    """Logits (N,10) of normalised images (N,1,28,28), from `width` channels and then twice as many."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Linear(2 * width * 7 * 7, 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(x).flatten(1))
        return logits
