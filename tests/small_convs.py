"""A small convolutional network for trajectories of attacks, in float64."""

import torch
from torch import nn


def make_network(features: int) -> nn.Module:
    """Make a network of seven classes for pixels 0..1, the same each time, frozen.

    Args:
        features: Values behind the last convolution, for its eight channels.
    """
    with torch.random.fork_rng():
        torch.manual_seed(3)
        layers = [nn.Conv2d(3, 8, 3, stride=2), nn.Tanh(), nn.Conv2d(8, 8, 3), nn.Tanh(), nn.Flatten()]
        return nn.Sequential(*layers, nn.Linear(features, 7)).double().eval().requires_grad_(False)
