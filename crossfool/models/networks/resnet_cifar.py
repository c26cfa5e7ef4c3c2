"""ResNet 20 to 56 for CIFAR-10 (He et al., arXiv 1512.03385, section 4.2).

Module names are those of the published weights (github.com/akamaster/pytorch_resnet_cifar10).
"""

from torch import Tensor, nn
from torch.nn import functional as F

FAMILY = {
    "class_name": "ResNetCIFAR",
    "cite": "He et al. 2016, arXiv 1512.03385, section 4.2",
    "licence": "BSD-2-Clause",
    "family": "cifar10",
    "mean": (123.675, 116.28, 103.53),  # ImageNet's, by which the published weights were trained
    "std": (58.395, 57.12, 57.375),
    "side": 32,
    "version": "pytorch_resnet_cifar10",
}
NETWORKS = {
    "resnet20": {
        "arguments": (20,),
        "file": "resnet20-12fca82f.th",
        "sha256": "12fca82f0bebc4135bf1f32f6e3710e61d5108578464b84fd6d7f5c1b04036c8",
        "parameters": 269_722,
        "operations": 81_102_080,
    },
    "resnet44": {
        "arguments": (44,),
        "file": "resnet44-014dd654.th",
        "sha256": "014dd6541728a1c700b1642ab640e211dc6eb8ed507d70697458dc8f8a0ae2e4",
        "parameters": 658_586,
        "operations": 194_348_288,
    },
    "resnet56": {
        "arguments": (56,),
        "file": "resnet56-4bfd9763.th",
        "sha256": "4bfd97631478d6b638d2764fd2baff3edb1d7d82252d54439343b6596b9b5367",
        "parameters": 853_018,
        "operations": 250_971_392,
    },
}


class Shortcut(nn.Module):
    """A shortcut without parameters (option A of the paper): every second pixel, and zeros for the new channels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.extra = (outputs - inputs) // 2

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.extra, self.extra))


class Block(nn.Module):
    """Two convolutions beside a shortcut: (N,inputs,H,W) to (N,outputs,H/stride,W/stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity() if inputs == outputs else Shortcut(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + self.shortcut(x))


class ResNetCIFAR(nn.Module):
    """Logits (N,10) of normalised images (N,3,32,32); `depth` is 6n+2."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        assert depth % 6 == 2, f"depth {depth} is not 6n+2"
        count = depth // 6
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = blocks(16, 16, 1, count)
        self.layer2 = blocks(16, 32, 2, count)
        self.layer3 = blocks(32, 64, 2, count)
        self.linear = nn.Linear(64, 10)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: Tensor = self.linear(x.mean((2, 3)))
        return logits


def blocks(inputs: int, outputs: int, stride: int, count: int) -> nn.Sequential:
    """A stage of `count` blocks, of which the first widens and strides."""
    rest = (Block(outputs, outputs, 1) for _ in range(count - 1))
    return nn.Sequential(Block(inputs, outputs, stride), *rest)
