"""Predictions for adversarial images after each image transform (paper section 7.4); rates are counted in `success`."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from tqdm import tqdm

from crossfool.models.inference.pixel_model import PixelModel
from crossfool.pipeline.evaluation import image_transforms
from crossfool.pipeline.evaluation.predict import top5
from crossfool.pipeline.evaluation.predictions_file import Transformed


def predict_transformed(
    images: np.ndarray,
    ids: Sequence[int],
    models: Mapping[str, PixelModel],
    levels: Mapping[str, Sequence[float]],
    *,
    batch: int,
    device: torch.device,
) -> Transformed:
    """Predict the classes of adversarial images after each transform at each of its levels.

    Args:
        images: Adversarial images (N,C,H,W) uint8.
        ids: The images' ids in the data set, (N,).
        models: The target models, by name.
        levels: Transform -> its levels.
        batch: Images a forward pass.
        device: The device of the models.

    Returns:
        (target model, transform, level) -> predictions (N,5), the most probable class first.
    """
    grid = [(name, level) for name, transform_levels in levels.items() for level in transform_levels]
    parts: dict[tuple[str, str, float], list[np.ndarray]] = {
        (model, name, level): [] for model in models for name, level in grid
    }
    with tqdm(total=len(images) * len(grid), desc="transform", unit="image") as progress:
        for start in range(0, len(images), batch):
            adversarial = torch.from_numpy(np.array(images[start : start + batch]))
            for name, level in grid:
                changed = image_transforms.apply(name, level, adversarial, ids[start : start + batch]).numpy()
                for model, network in models.items():
                    parts[model, name, level].append(top5(network, changed, batch=batch, device=device))
                progress.update(len(changed))
    return {key: np.concatenate(predictions) for key, predictions in parts.items()}
