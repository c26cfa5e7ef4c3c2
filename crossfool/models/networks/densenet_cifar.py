"""DenseNet-BC for CIFAR-10 (Huang et al., arXiv 1608.06993): 100 layers, growth rate 12."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FAMILY = {
    "class_name": "DenseNetCIFAR",
    "cite": "Huang et al. 2017, arXiv 1608.06993",
    "family": "cifar10",
    "mean": (123.675, 116.28, 103.53),
    "std": (58.395, 57.12, 57.375),
    "side": 32,
}
NETWORKS = {"densenet": {"parameters": 769_162, "operations": 575_859_384}}


class Layer(nn.Module):
    """A layer that appends `growth` channels to its input, by way of a bottleneck of four times as many."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu(self.norm1(x)))
        y = self.conv2(F.relu(self.norm2(y)))
        return torch.cat([x, y], 1)


class Transition(nn.Module):
    """A transition between dense blocks: halves the side, and reduces the channels to `outputs`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(inputs)
        self.conv = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(self.conv(F.relu(self.norm(x))), 2)


class DenseNetCIFAR(nn.Module):
    """Logits (N,10) of normalised images (N,3,32,32); `depth` is 6n+4."""

    def __init__(self, depth: int = 100, growth: int = 12) -> None:
        super().__init__()
        assert depth % 6 == 4, f"depth {depth} is not 6n+4"
        channels = 2 * growth
        parts: list[nn.Module] = [nn.Conv2d(3, channels, 3, padding=1, bias=False)]
        for stage in range(3):
            if stage > 0:
                parts.append(Transition(channels, channels // 2))
                channels //= 2
            for _ in range(depth // 6):
                parts.append(Layer(channels, growth))
                channels += growth
        self.features = nn.Sequential(*parts, nn.BatchNorm2d(channels), nn.ReLU())
        self.classifier = nn.Linear(channels, 10)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(x).mean((2, 3)))
        return logits
