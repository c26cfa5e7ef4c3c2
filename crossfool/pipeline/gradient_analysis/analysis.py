"""Analyse the smoothed gradient in three ways: similarity, boundary, saliency (paper section 6, appendix A).

G(m) is the smoothed gradient of paper equation 6 estimated from m samples. Samples stream through in
batches and only their running sum is kept, so that m = 1000 takes no more memory than m = 1. An image's
samples are those that an attack of the same seed draws for it in its first step.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from crossfool.attacks.backward import plain
from crossfool.attacks.fusion import source_log_probabilities
from crossfool.attacks.gradients._samples import gradients_by_pass
from crossfool.attacks.losses.cross_entropy import untargeted
from crossfool.attacks.noise.gaussian import gaussian
from crossfool.attacks.types import Loss
from crossfool.errors import UserError
from crossfool.models.inference.pixel_model import PixelModel
from crossfool.pipeline.gradient_analysis.config import Boundary, Saliency, Similarity


def plain_gradient(model: PixelModel, image: Tensor, label: int) -> Tensor:
    """Gradient g of the cross-entropy at an image (C,H,W), pixels 0..255; (C,H,W) float64.

    Raises:
        UserError: the gradient is not finite.
    """
    return _finite(plain(_loss(model, label), image[None])[0].double())


def smoothed_gradients(
    model: PixelModel,
    image: Tensor,
    label: int,
    samples: Sequence[int],
    *,
    sigma: float,
    seed: int,
    id: int,
    batch: int,
) -> Iterator[Tensor]:
    """Yield the smoothed gradient G(m) for each m of `samples`, which rise; each (C,H,W) float64.

    Args:
        model: A model on pixels 0..255.
        image: (C,H,W), pixels 0..255.
        label: Class whose cross-entropy is differentiated.
        samples: Values of m.
        sigma: Standard deviation of the noise, in pixel values.
        seed: Seed of the analysis, from which, with `id`, the noise is drawn.
        id: The image's id in the data set.
        batch: Samples a backward pass.

    Raises:
        UserError: a gradient is not finite.
    """
    loss, x = _loss(model, label), image[None]
    noise = gaussian(seed, [id], sigma)(0, x)
    total, drawn = torch.zeros_like(image, dtype=torch.float64), 0
    for m in samples:
        for gradient in gradients_by_pass(loss, x, noise, m - drawn, batch):
            total += _finite(gradient.double().sum(0))
        drawn = m
        yield total / m


def similarity(
    source: PixelModel,
    target: PixelModel,
    images: Tensor,
    labels: Tensor,
    ids: Sequence[int],
    row: Similarity,
    *,
    batch: int,
) -> Iterator[tuple[int, int, float]]:
    """Yield image id, m, and the cosine of the source's smoothed gradient G(m) with the target's plain gradient.

    m = 0 stands for the source's plain gradient. A gradient of zeros has cosine 0 with every other.

    Args:
        source: The source model, on pixels 0..255.
        target: The target model, on pixels 0..255.
        images: (N,C,H,W), pixels 0..255.
        labels: True classes, (N,).
        ids: The images' ids in the data set, (N,).
        row: The analysis's section of params.yaml.
        batch: Samples a backward pass.
    """
    progress = tqdm(total=len(ids) * (row.samples[-1] + 2), unit="gradient", desc=f"{row.source} {row.target}")
    with progress:
        for image, label, id in zip(images, labels.tolist(), ids, strict=True):
            target_gradient = plain_gradient(target, image, label)
            yield id, 0, cosine(plain_gradient(source, image, label), target_gradient)
            progress.update(2)
            estimates = smoothed_gradients(
                source, image, label, row.samples, sigma=row.sigma, seed=row.seed, id=id, batch=batch
            )
            previous = 0
            for m, estimate in zip(row.samples, estimates, strict=True):
                yield id, m, cosine(estimate, target_gradient)
                progress.update(m - previous)
                previous = m


def cosine(a: Tensor, b: Tensor) -> float:
    """Cosine of two gradients of one shape, float64; 0 where one is all zeros."""
    norms = float(a.norm() * b.norm())
    return float((a * b).sum()) / norms if norms else 0.0


def plane_axes(source: PixelModel, image: Tensor, label: int, row: Boundary, *, batch: int) -> tuple[Tensor, Tensor]:
    """Axes of the plane at an image (C,H,W): G and the noise h = g - <g,G>G, as unit vectors or as signs; float64.

    Raises:
        UserError: the gradient is zero there, or smoothing does not change it, so that there is no plane.
    """
    (estimate,) = smoothed_gradients(
        source, image, label, [row.samples], sigma=row.sigma, seed=row.seed, id=row.image, batch=batch
    )
    along = _unit(estimate, row)
    gradient = plain_gradient(source, image, label)
    noise = gradient - (gradient * along).sum() * along
    if gradient.norm() > 0 and noise.norm() <= 1e-6 * gradient.norm():
        raise UserError(
            f"{row.source}: the smoothed gradient at image {row.image} is the gradient itself; "
            "take a larger sigma or another image"
        )
    across = _unit(noise, row)
    return (along.sign(), across.sign()) if row.sign else (along, across)


def predicted_plane(
    model: PixelModel, image: Tensor, axes: tuple[Tensor, Tensor], u: np.ndarray, v: np.ndarray, *, batch: int
) -> np.ndarray:
    """Classes that a model predicts at clip(x + u a + v b, 0, 255): (V,U) int64, row i at v[i], column j at u[j].

    Args:
        model: A model on pixels 0..255.
        image: x, (C,H,W).
        axes: a and b, each (C,H,W) float64.
        u: Distances along the first axis, (U,).
        v: Distances along the second axis, (V,).
        batch: Images a forward pass.
    """
    points = [(j, i) for i in v for j in u]
    labels = []
    with torch.inference_mode():
        for start in range(0, len(points), batch):
            distances = torch.tensor(points[start : start + batch], dtype=torch.float64, device=image.device)
            at = distances[:, :, None, None, None]
            x = (image.double() + at[:, 0] * axes[0] + at[:, 1] * axes[1]).clamp(0, 255).float()
            labels.append(model(x.contiguous(memory_format=torch.channels_last)).argmax(1).cpu().numpy())
    return np.concatenate(labels).reshape(len(v), len(u)).astype(np.int64)


def saliency_gradients(
    model: PixelModel, image: Tensor, label: int, id: int, row: Saliency, *, batch: int
) -> np.ndarray:
    """Gradient at an image (C,H,W), followed by G(m) for each of the row's m: (1+M,C,H,W) float32."""
    estimates = smoothed_gradients(model, image, label, row.samples, sigma=row.sigma, seed=row.seed, id=id, batch=batch)
    return torch.stack([plain_gradient(model, image, label), *estimates]).float().cpu().numpy()


def image_by_id(images: np.ndarray, id: int) -> np.ndarray:
    """Copy an image (C,H,W) of the data set.

    Raises:
        UserError: the data set has no image of that id.
    """
    if id >= len(images):
        raise UserError(f"image {id} is asked, but the data set has ids 0 to {len(images) - 1} (see data/images.csv)")
    return np.array(images[id])


def _loss(model: PixelModel, label: int) -> Loss:
    """Cross-entropy of a label, of images (N,C,H,W)."""
    log_probabilities = source_log_probabilities([model], "probabilities")
    return lambda x: untargeted(log_probabilities, torch.full((len(x),), label, device=x.device))(x)


def _finite(gradient: Tensor) -> Tensor:
    """The gradient, refused where it is not finite."""
    if not gradient.isfinite().all():
        raise UserError("a gradient is not finite; look at the model's weights and at the images")
    return gradient


def _unit(direction: Tensor, row: Boundary) -> Tensor:
    """The direction brought to unit length, refused where it is zero."""
    norm = direction.norm()
    if not norm > 0:
        raise UserError(f"{row.source} has no gradient at image {row.image}; take another image")
    unit: Tensor = direction / norm
    return unit
