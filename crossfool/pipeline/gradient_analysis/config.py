"""The sections `similarity`, `boundary` and `saliency` of params.yaml."""

from typing import Annotated

from pydantic import (
    Field,
)

from crossfool.config import Count, Deviation, Name, Scaled, Section, Seed, Written


class Similarity(Section):
    """Cosine of a source's gradient with a target's, against m (paper section 6.2, figure 3a).

    Attributes:
        source, target: Models.
        images: How many of the subset, from its start.
        samples: Values of m, rising; the plain gradient is measured too.
        sigma: Of the noise.
        seed: Of the noise.
    """

    source: Name
    target: Name
    images: Count
    samples: tuple[Count, ...]
    sigma: Deviation
    seed: Seed = 0


class Boundary(Section):
    """Answers in the plane of the smoothed gradient G and the noise h (paper figures 3b and 9).

    Attributes:
        source: Whose gradient.
        targets: Models whose answers are drawn.
        image: Id of the image in the data set, from 0.
        samples: m.
        sigma: Of the noise.
        sign: Take the signs of G and h (figure 9), so that u and v are pixel values; else unit vectors, and u and v
            are L2 lengths.
        extent: u and v run from minus this to this.
        points: On each axis.
        seed: Of the noise.
    """

    source: Name
    targets: Annotated[tuple[Name, ...], Field(min_length=1)]
    image: Annotated[int, Field(ge=0)]
    samples: Count
    sigma: Deviation
    sign: bool
    extent: Annotated[float, Field(ge=1e-3, le=1e6, allow_inf_nan=False), Scaled, Written]
    points: Annotated[int, Field(ge=3)]
    seed: Seed = 0


class Saliency(Section):
    """The gradient and its smoothed versions as pictures (paper figure 6).

    Attributes:
        model: Whose gradient.
        images: Ids of images in the data set, from 0.
        samples: Values of m, rising.
        sigma: Of the noise.
        seed: Of the noise.
    """

    model: Name
    images: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
    samples: tuple[Count, ...]
    sigma: Deviation
    seed: Seed = 0
