"""Image transforms that an adversarial image may or may not survive (paper section 7.4), uint8 to uint8.

Each is a file of `pipeline/transforms/`, imported only where it is asked for. An image's result depends on that image,
its id and the level alone: not on the batch that it came in.
"""

import importlib
from collections.abc import Sequence

import torch
from torch import Tensor

from crossfool.errors import UserError
from crossfool.pipeline.evaluation import transform_levels


def apply(name: str, level: float, images: Tensor, ids: Sequence[int], seed: int = 0) -> Tensor:
    """Transform images by a file of `pipeline/transforms/`.

    Args:
        name: The file's name: rotation, gaussian_noise, gaussian_blur, jpeg, ...
        level: How much, in the unit that the file declares.
        images: (N,C,H,W) uint8.
        ids: The images' ids in the data set, (N,); what is random is drawn by them.
        seed: Of what is random.

    Returns:
        Images of the same shape and dtype.

    Raises:
        UserError: no such transform, a level that it does not have, or images that it cannot take.
    """
    known = transform_levels.find_transform(name)
    if message := known.level_error(level):
        raise UserError(f"{name}: {message}")
    assert images.dtype == torch.uint8 and images.ndim == 4 and len(images) == len(ids)
    if level == known.neutral or not len(images):
        return images.clone()
    transformed: Tensor = importlib.import_module(known.module).transform(images, level, ids, seed)
    assert transformed.dtype == torch.uint8 and transformed.shape == images.shape, f"{name} gave other images"
    return transformed
