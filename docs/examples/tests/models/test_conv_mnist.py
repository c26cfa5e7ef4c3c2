"""The convolutional network for MNIST by hand."""

import torch

from crossfool.models.build import crossfool_network


def test_logits_are_the_formula() -> None:
    network = crossfool_network("conv8")
    first, second = (network.features[place] for place in (0, 3))
    images = torch.randn(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    x = images
    for layer in (first, second):
        x = torch.nn.functional.conv2d(x, layer.weight, layer.bias, padding=1).clamp(min=0)
        x = x.unfold(2, 2, 2).unfold(3, 2, 2).amax((-1, -2))
    expected = x.reshape(2, 16 * 7 * 7) @ network.classifier.weight.T + network.classifier.bias
    torch.testing.assert_close(network(images), expected)
