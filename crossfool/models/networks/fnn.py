"""Fully connected networks for MNIST (paper section 4: hidden layers of width 500)."""

from torch import Tensor, nn

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
