"""The mirrored gradient by hand."""

import torch
from crossfool.attacks.gradients.mirrored import mirrored
from torch import Tensor


def test_mirrored_gradient_by_hand():
    def loss(x: Tensor) -> Tensor:
        return x.flatten(1) @ torch.tensor([1.0, 2.0, 3.0, 4.0])  # its gradient is (1, 2, 3, 4) everywhere

    image = torch.tensor([9.0, 8.0, 7.0, 6.0]).view(1, 1, 2, 2)
    assert mirrored(loss, image).flatten().tolist() == [1.5, 1.5, 3.5, 3.5]
