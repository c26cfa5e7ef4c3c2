"""Sections `similarity`, `boundary` and `saliency` of params.yaml."""

from typing import Annotated

from pydantic import Field

from crossfool.config import Count, Name, NoiseDeviation, RefuseText, RefuseUnitScale, Section, Seed


class Similarity(Section):
    """Cosine of a source model's gradient with a target model's, against m (paper section 6.2, figure 3a).

    Attributes:
        source, target: Names of the models.
        images: Number of images, from the start of the subset.
        samples: Values of m, rising; the plain gradient is measured too.
        sigma: Standard deviation of the noise, in pixel values.
        seed: Seed of the noise.
    """

    source: Name
    target: Name
    images: Count
    samples: tuple[Count, ...]
    sigma: NoiseDeviation
    seed: Seed = 0


class Boundary(Section):
    """Predicted classes in the plane of the smoothed gradient G and the noise h (paper figures 3b and 9).

    Attributes:
        source: Model that the gradient is of.
        targets: Models whose predictions are drawn.
        image: Id of the image in the data set, from 0.
        samples: Noise samples m of the smoothed gradient.
        sigma: Standard deviation of the noise, in pixel values.
        sign: Take the signs of G and h (figure 9), so that u and v are pixel values; else unit vectors, and u and v
            are L2 lengths.
        extent: u and v run from minus this to this.
        points: Number of points on each axis, 3 to 4096.
        seed: Seed of the noise.
    """

    source: Name
    targets: Annotated[tuple[Name, ...], Field(min_length=1)]
    image: Annotated[int, Field(ge=0)]
    samples: Count
    sigma: NoiseDeviation
    sign: bool
    extent: Annotated[float, Field(ge=1e-3, le=1e6, allow_inf_nan=False), RefuseUnitScale, RefuseText]
    points: Annotated[int, Field(ge=3, le=4096)]
    seed: Seed = 0


class Saliency(Section):
    """The gradient and its smoothed versions as pictures (paper figure 6).

    Attributes:
        model: Model that the gradient is of.
        images: Ids of images in the data set, from 0.
        samples: Values of m, rising.
        sigma: Standard deviation of the noise, in pixel values.
        seed: Seed of the noise.
    """

    model: Name
    images: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
    samples: tuple[Count, ...]
    sigma: NoiseDeviation
    seed: Seed = 0
