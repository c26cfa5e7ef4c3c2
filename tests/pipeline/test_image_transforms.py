"""Transforms against independent references: numpy, scipy, Pillow, and cases done by hand."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from crossfool.errors import UserError
from crossfool.pipeline.evaluation import image_transforms


def pictures(count: int = 3, channels: int = 3, height: int = 24, width: int = 24) -> torch.Tensor:
    """Smooth pictures with some texture, (N,C,H,W) uint8."""
    y, x = np.mgrid[:height, :width]
    planes = [
        127 + 70 * np.sin(x / (3 + c) + n) + 50 * np.cos(y / (4 + n) + c) for n in range(count) for c in range(channels)
    ]
    return torch.from_numpy(np.stack(planes).reshape(count, channels, height, width).round().astype(np.uint8))


@pytest.mark.parametrize("name", ["rotation", "gaussian_noise", "gaussian_blur"])
def test_level_zero_changes_nothing(name: str) -> None:
    images = pictures()
    same = image_transforms.apply(name, 0, images, range(3))
    assert torch.equal(same, images) and same is not images


@pytest.mark.parametrize(("degrees", "turns"), [(90, 1), (-90, -1), (180, 2), (270, 3)])
def test_quarter_turns_are_counter_clockwise_and_exact(degrees: float, turns: int) -> None:
    images = pictures()
    turned = image_transforms.apply("rotation", degrees, images, range(3))
    assert np.array_equal(turned.numpy(), np.rot90(images.numpy(), turns, axes=(2, 3)))


def test_rotation_is_scipys() -> None:
    from scipy.ndimage import rotate

    images = pictures(1, 1)
    ours = image_transforms.apply("rotation", 30, images, [0])[0, 0].numpy()
    theirs = rotate(images[0, 0].numpy().astype(float), 30, reshape=False, order=1)
    y, x = np.mgrid[:24, :24] - 11.5
    inside = np.hypot(x, y) < 10.5  # no pixel of these comes from beyond the border
    assert np.abs(ours - theirs)[inside].max() <= 1
    assert np.abs(ours - images[0, 0].numpy().astype(float))[inside].max() > 50


def test_rotation_fills_with_black() -> None:
    white = torch.full((1, 1, 16, 16), 255, dtype=torch.uint8)
    turned = image_transforms.apply("rotation", 45, white, [0])[0, 0]
    assert [int(turned[y, x]) for y, x in ((0, 0), (0, 15), (15, 0), (15, 15), (8, 8))] == [0, 0, 0, 0, 255]


@pytest.mark.parametrize(("sigma", "reach"), [(0.5, 2), (1, 3), (2, 6)])
def test_blur_of_an_impulse_is_the_sampled_gaussian(sigma: float, reach: int) -> None:
    impulse = torch.zeros(1, 1, 31, 31, dtype=torch.uint8)
    impulse[0, 0, 15, 15] = 255
    line = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    line /= line.sum()
    expected = np.zeros((31, 31))
    expected[15 - reach : 16 + reach, 15 - reach : 16 + reach] = 255 * np.outer(line, line)
    blurred = image_transforms.apply("gaussian_blur", sigma, impulse, [0])[0, 0].numpy()
    assert np.abs(blurred - expected).max() <= 0.5 + 1e-3
    assert np.abs(np.rint(expected) - blurred).sum() == 0


def test_blur_reflects_at_the_border_and_reaches_no_further_than_the_image() -> None:
    from scipy.ndimage import gaussian_filter

    images = pictures(1, 1)
    ours = image_transforms.apply("gaussian_blur", 2, images, [0])[0, 0].numpy()
    theirs = gaussian_filter(images[0, 0].numpy().astype(float), 2, mode="mirror", radius=6)
    assert np.abs(ours - theirs).max() <= 0.5 + 1e-3
    wide = image_transforms.apply("gaussian_blur", 100, pictures(1, 3, 8, 12), [0])
    assert wide.shape == (1, 3, 8, 12)


def test_noise_has_the_asked_deviation_and_is_rounded() -> None:
    grey = torch.full((1, 3, 100, 100), 128, dtype=torch.uint8)
    noise = image_transforms.apply("gaussian_noise", 10, grey, [7]).double() - 128
    assert abs(float(noise.mean())) < 0.3  # five standard errors
    assert abs(float(noise.std()) - 10) < 0.3


def test_noise_is_clipped_not_wrapped() -> None:
    black, white = torch.zeros(1, 1, 50, 50, dtype=torch.uint8), torch.full((1, 1, 50, 50), 255, dtype=torch.uint8)
    assert 0.4 < float((image_transforms.apply("gaussian_noise", 40, black, [0]) == 0).double().mean()) < 0.6
    assert 0.4 < float((image_transforms.apply("gaussian_noise", 40, white, [0]) == 255).double().mean()) < 0.6


@pytest.mark.parametrize(
    ("name", "level"), [("rotation", 15), ("gaussian_noise", 20), ("gaussian_blur", 1), ("jpeg", 50)]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_does_not_depend_on_its_batch(name: str, level: float, channels: int) -> None:
    images, ids = pictures(4, channels), [5, 9, 2, 30]
    together = image_transforms.apply(name, level, images, ids)
    order = [2, 0, 3, 1]
    alone = [image_transforms.apply(name, level, images[i : i + 1], ids[i : i + 1]) for i in order]
    assert torch.equal(torch.cat(alone), together[order])
    assert together.dtype == torch.uint8 and together.shape == images.shape
    assert not torch.equal(together, images)


def test_noise_differs_between_images_and_seeds() -> None:
    grey = torch.full((2, 1, 20, 20), 128, dtype=torch.uint8)
    first, second = image_transforms.apply("gaussian_noise", 20, grey, [0, 1])
    other = image_transforms.apply("gaussian_noise", 20, grey, [0, 1], seed=1)[0]
    assert not torch.equal(first, second) and not torch.equal(first, other)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("quality", [1, 20, 75, 100])
def test_jpeg_is_pillows_round_trip(channels: int, quality: int) -> None:
    images = pictures(2, channels, 20, 28)
    ours = image_transforms.apply("jpeg", quality, images, [0, 1]).numpy()
    for image, changed in zip(images.numpy(), ours, strict=True):
        buffer = io.BytesIO()
        picture = Image.fromarray(image[0], "L") if channels == 1 else Image.fromarray(image.transpose(1, 2, 0), "RGB")
        picture.save(buffer, format="jpeg", quality=quality)
        decoded = np.asarray(Image.open(buffer))
        assert np.array_equal(changed, decoded[None] if channels == 1 else decoded.transpose(2, 0, 1))


def test_lower_quality_is_further_from_the_picture() -> None:
    images = pictures()
    errors = [
        float((image_transforms.apply("jpeg", q, images, range(3)).float() - images.float()).abs().mean())
        for q in (95, 50, 5)
    ]
    assert 0 < errors[0] < errors[1] < errors[2]


def test_a_channels_last_batch_is_the_same() -> None:
    images = pictures()
    for name, level in (("rotation", 5), ("gaussian_noise", 10), ("gaussian_blur", 1), ("jpeg", 75)):
        last = images.contiguous(memory_format=torch.channels_last)
        assert torch.equal(
            image_transforms.apply(name, level, last, range(3)), image_transforms.apply(name, level, images, range(3))
        )


def test_no_images_give_no_images() -> None:
    none = torch.zeros(0, 3, 8, 8, dtype=torch.uint8)
    for name in ("rotation", "gaussian_noise", "gaussian_blur", "jpeg"):
        assert image_transforms.apply(name, 30, none, []).shape == (0, 3, 8, 8)


@pytest.mark.parametrize(
    ("name", "level", "channels", "message"),
    [
        ("jpg", 50, 3, "did you mean jpeg"),
        ("jpeg", 101, 3, "out of range 1 to 100"),
        ("jpeg", 0, 3, "out of range 1 to 100"),
        ("jpeg", 50.5, 3, "no whole number"),
        ("jpeg", 50, 2, "2 channels"),
        ("gaussian_noise", -1, 3, "out of range 0 to 255"),
        ("gaussian_blur", float("nan"), 3, "out of range"),
    ],
)
def test_bad_input(name: str, level: float, channels: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        image_transforms.apply(name, level, pictures(1, channels), [0])
