"""Top-5 answers, and the gate of published accuracy."""

import numpy as np
import pytest
import torch

from crossfool.errors import UserError
from crossfool.pipeline.evaluation import predict

OURS = "resize 256 bilinear, crop 224"
CPU = torch.device("cpu")


def ranked(x: torch.Tensor) -> torch.Tensor:
    """Logits (N,6) of images (N,6,1,1): their pixels."""
    return x.flatten(1)


def test_top5_by_hand_in_any_batch():
    images = np.array([[5, 200, 30, 40, 1, 2], [9, 8, 7, 6, 5, 4], [0, 1, 2, 3, 4, 255]], np.uint8).reshape(3, 6, 1, 1)
    expected = [[1, 3, 2, 0, 5], [0, 1, 2, 3, 4], [5, 4, 3, 2, 1]]
    for batch in (1, 2, 3, 50):
        assert predict.top5(ranked, images, batch=batch, device=CPU).tolist() == expected


def test_answers_that_are_not_finite_name_model_and_image():
    images = np.zeros((3, 6, 1, 1), np.uint8)
    images[1] = 7
    with pytest.raises(UserError, match="the logits of bad for image 1 are not finite"):
        predict.top5(lambda x: ranked(x) / (7 - ranked(x)), images, batch=3, device=CPU, label="bad")


def gate(correct: int, *, dataset: str, published: float | None, preprocessing: str = OURS) -> dict:
    about = {"name": "resnet18", "published_top1": published, "published_preprocessing": preprocessing}
    about["parameters"] = 11
    top = np.zeros((1000, 5), np.int64)
    labels = np.where(np.arange(1000) < correct, 0, 1)
    return predict.accuracy(top, labels, dataset=dataset, about=about)


@pytest.mark.parametrize(("correct", "passes"), [(882, True), (877, True), (887, True), (876, False), (888, False)])
def test_gate_of_known_accuracy(correct, passes):
    about = {"name": "efficientnet_lite0", "published_top1": None, "published_preprocessing": "", "parameters": 11}
    top, labels = np.zeros((1000, 5), np.int64), np.where(np.arange(1000) < correct, 0, 1)
    if passes:
        accuracy = predict.accuracy(top, labels, dataset="public", about=about, known_top1=88.2)
        assert accuracy["top1"] == correct / 10 and accuracy["published_top1"] is None
        return
    with pytest.raises(
        UserError, match=rf"efficientnet_lite0: top-1 accuracy on public is {correct / 10:.2f}%, known is 88\.20%"
    ):
        predict.accuracy(top, labels, dataset="public", about=about, known_top1=88.2)


def test_gate_of_published_accuracy():
    assert gate(697, dataset="imagenet", published=69.758)["top1"] == 69.7
    assert gate(693, dataset="imagenet", published=69.758)["published_top1"] == 69.758
    with pytest.raises(UserError, match=r"top-1 accuracy on the validation set is 69\.20%, published is 69\.76%"):
        gate(692, dataset="imagenet", published=69.758)
    assert gate(100, dataset="imagefolder", published=69.758)["top1"] == 10  # a part of the set has its own accuracy
    assert gate(100, dataset="imagenet", published=None)["top1"] == 10
    other = gate(100, dataset="imagenet", published=84.122, preprocessing="resize 600 bicubic, crop 600")
    assert other["published_top1"] == 84.122  # cannot be reproduced on images of 224: told, not demanded
