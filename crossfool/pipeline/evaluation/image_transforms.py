"""Image transforms that an adversarial image may or may not survive (paper section 7.4), uint8 to uint8.

Names, ranges and units of the levels are in `config.TRANSFORMS`. An image's result depends on that
image, its id and the level alone: not on the batch that it came in.
"""

import io
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from crossfool import seeds
from crossfool.errors import UserError, small_pixel_value_message, unknown_name
from crossfool.pipeline.evaluation.transform_levels import PIXEL_LEVELS, TRANSFORMS


def apply(name: str, level: float, images: Tensor, ids: Sequence[int], seed: int = 0) -> Tensor:
    """Transform images by one of the transforms of `config.TRANSFORMS`.

    Args:
        name: rotation, gaussian_noise, gaussian_blur or jpeg.
        level: Degrees counter-clockwise, standard deviation in pixel values, standard deviation in pixels, quality.
        images: (N,C,H,W) uint8.
        ids: The images' ids in the data set, (N,); what the noise is drawn by.
        seed: Of the noise.

    Returns:
        Images of the same shape and dtype.

    Raises:
        UserError: no such transform, a level out of range, a fractional quality, or images that JPEG cannot hold.
    """
    if name not in TRANSFORMS:
        raise unknown_name("transform", name, TRANSFORMS)
    low, high, unit = TRANSFORMS[name]
    if not low <= level <= high:
        raise UserError(f"{name}: level {level:g} is out of range {low:g} to {high:g} ({unit})")
    if name in PIXEL_LEVELS and (hint := small_pixel_value_message(level)):
        raise UserError(f"{name}: level {level:g} ({unit}): {hint}")
    assert images.dtype == torch.uint8 and images.ndim == 4 and len(images) == len(ids)
    if name == "jpeg":
        return _jpeg(images, level)
    if level == 0 or not len(images):
        return images.clone()
    if name == "rotation":
        return _rotation(images, level)
    if name == "gaussian_noise":
        return _noise(images, level, ids, seed)
    return _blur(images, level)


def _rotation(images: Tensor, degrees: float) -> Tensor:
    """Turn about the centre, counter-clockwise, bilinear; pixels from outside the image are black."""
    from torchvision.transforms.v2 import InterpolationMode
    from torchvision.transforms.v2.functional import rotate

    rotated: Tensor = rotate(images, degrees, interpolation=InterpolationMode.BILINEAR, fill=[0.0])
    return rotated


def _noise(images: Tensor, sigma: float, ids: Sequence[int], seed: int) -> Tensor:
    """Add white noise, round and clip to 0..255."""
    noisy = images.float()
    for id, image in zip(ids, noisy, strict=True):
        # drawn on the CPU, so that every device adds the same
        generator = torch.Generator().manual_seed(seeds.derive_seed(seed, id))
        image += (sigma * torch.randn(image.shape, generator=generator)).to(image.device)
    return noisy.round_().clamp_(0, 255).byte()


def _blur(images: Tensor, sigma: float) -> Tensor:
    """Blur by a Gaussian out to three standard deviations, or as far as a reflection at the border reaches."""
    from torchvision.transforms.v2.functional import gaussian_blur

    reach = [min(math.ceil(3 * sigma), side - 1) for side in (images.shape[3], images.shape[2])]  # across, down
    kernel = [2 * pixels + 1 for pixels in reach]
    # an image at a time: a convolution's rounding may depend on the size of the batch
    return torch.cat([gaussian_blur(image, kernel, [sigma, sigma]) for image in images.split(1)])


def _jpeg(images: Tensor, quality: float) -> Tensor:
    """Encode as JPEG by Pillow and decode again, colours subsampled 4:2:0, as JPEG encoders do by default."""
    from PIL import Image

    channels = images.shape[1]
    if channels not in (1, 3):
        raise UserError(f"jpeg: images have {channels} channels, expected 1 (grey) or 3 (red, green, blue)")
    if quality != int(quality):
        raise UserError(f"jpeg: quality {quality:g} is no whole number, expected 1 to 100")
    compressed = torch.empty_like(images, device="cpu")
    for image, out in zip(images.cpu(), compressed, strict=True):
        pixels = image[0] if channels == 1 else image.permute(1, 2, 0)
        buffer = io.BytesIO()
        Image.fromarray(pixels.contiguous().numpy()).save(buffer, "JPEG", quality=int(quality), subsampling="4:2:0")
        with Image.open(io.BytesIO(buffer.getvalue())) as decoded:
            values = torch.frombuffer(bytearray(decoded.tobytes()), dtype=torch.uint8)
        out.copy_(values.view(*pixels.shape) if channels == 1 else values.view(*pixels.shape).permute(2, 0, 1))
    return compressed.to(images.device)
