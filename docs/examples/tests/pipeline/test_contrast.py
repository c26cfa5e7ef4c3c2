"""The transform contrast by hand."""

import torch

from crossfool.pipeline.evaluation import image_transforms


def test_contrast_by_hand() -> None:
    images = torch.tensor([0, 100, 128, 129, 255], dtype=torch.uint8).view(1, 1, 1, 5)
    assert image_transforms.apply("contrast", 0.5, images, [0]).flatten().tolist() == [64, 114, 128, 128, 192]
    assert image_transforms.apply("contrast", 2, images, [0]).flatten().tolist() == [0, 72, 128, 130, 255]
    assert image_transforms.apply("contrast", 0, images, [0]).flatten().tolist() == [128] * 5
