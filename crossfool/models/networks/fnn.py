"""Fully connected networks for MNIST (paper section 4: hidden layers of width 500)."""

from torch import Tensor, nn

FAMILY = {
    "class_name": "FNN",
    "cite": "the paper, section 4",
    "family": "mnist",
    "mean": (33.328500000000005,),  # 255 * 0.1307
    "std": (78.5655,),  # 255 * 0.3081
    "side": 28,
}
NETWORKS = {
    "fnn0": {"arguments": (0,), "parameters": 7_850, "operations": 15_680},
    "fnn2": {"arguments": (2,), "parameters": 648_010, "operations": 1_294_000},
    "fnn4": {"arguments": (4,), "parameters": 1_149_010, "operations": 2_294_000},
    "fnn8": {"arguments": (8,), "parameters": 2_151_010, "operations": 4_294_000},
}

WIDTH = 500


class FNN(nn.Module):
    """Logits (N,10) of normalised images (N,1,28,28): `depth` hidden layers with ReLU; 0 is a linear classifier."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        hidden = [nn.Linear(784 if number == 0 else WIDTH, WIDTH) for number in range(depth)]
        self.hidden = nn.Sequential(*(part for layer in hidden for part in (layer, nn.ReLU())))
        self.output = nn.Linear(WIDTH if depth else 784, 10)
        for layer in hidden:  # torch's default shrinks the signal at every layer: eight would hardly learn
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.output(self.hidden(x.flatten(1)))
        return logits
