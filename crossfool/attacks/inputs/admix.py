"""Admix: mixtures of an image with clean images of other classes (arXiv 2102.00436)."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from crossfool import seeds
from crossfool.attacks.part import InputPart
from crossfool.attacks.types import Context, Views
from crossfool.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from crossfool.attacks.chunk import Pool

_PART = zlib.crc32(b"admix")  # so that draws of two parts are independent


class Part(
    InputPart, random=True, takes_pool=True, smoke={"admix": 2}, cite="Admix: Wang et al. 2021; arXiv 2102.00436"
):
    """Mean gradient over mixtures with clean images of other classes (Admix; with `scales`, as in the paper).

    Summary: mixed with {admix} images of other classes (η = {admix_strength:g})
    Evaluations: m₂
    Rows:
        admix_migsm: images of other classes mixed in, at five scales: {epsilon: 16, steps: 10, step_size: 1.6,
            update: momentum, decay: 1.0, admix: 3, scales: 5}
    Formula:
        admix: ∇J(x) is the mean over {admix} images x′ of those of J(x + {admix_strength:g} x′) by x; x′ clean images
            of other classes, afresh each step

    Attributes:
        admix: m₂, images of other classes that an image is mixed with, whose gradients are averaged
        admix_strength: η, the weight of an image that is mixed in; the image's own is 1
    """

    admix: Annotated[int, Field(ge=1)]
    admix_strength: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 0.2

    @property
    def evaluations(self) -> int:
        return self.admix

    def views(self, context: Context) -> Views:
        from crossfool.attacks.inputs._views import ImageViews

        return ImageViews(self.admix, mixing(context, self.admix_strength), lambda gradient, i: gradient)


def mixing(context: Context, strength: float) -> Callable[[Tensor, int], Tensor]:
    """View i of images: x + strength x'_i, not clipped, x'_i a clean image of another class than x's true label.

    For each image x'_i is drawn from (seed, image id, step, i), each by itself: the images of other classes are equally
    probable, and two of a step may be the same. All gradients of a step (at scales, at neighbours, of noisy images)
    have the same x'_i, as the paper's scales do. Scales come behind: (x + eta x') / 2^i, which is the paper's equation
    with `scales: m1`. The authors' code differs: it mixes in images of the batch as they are attacked, and of the same
    class, too.

    Args:
        context: The attack. Make a new view for each: it counts gradient evaluations.
        strength: eta.

    Raises:
        UserError: the subset has no images of other classes, or repeats an id.
    """
    import torch

    pool = context.pool
    assert pool is not None
    others = _of_other_classes(pool)
    classes = dict(zip(pool.ids.tolist(), pool.labels.tolist(), strict=True))
    evaluated = itertools.count()

    def drawn(image_id: int, step: int, i: int) -> int:
        places = others[classes[image_id]]
        return int(places[seeds.derive_seed(context.seed, image_id, step, i, _PART) % len(places)])

    def view(x: Tensor, i: int) -> Tensor:
        step = next(evaluated) // context.copies
        mixed = pool.images[[drawn(image_id, step, i) for image_id in context.ids]]
        return x + strength * torch.from_numpy(mixed).to(x)

    return view


def _of_other_classes(pool: Pool) -> dict[int, np.ndarray]:
    """Class -> places in the pool of the images of other classes, by their ids."""
    import numpy as np

    if len(np.unique(pool.ids)) < len(pool.ids):
        raise UserError("admix finds the classes of images by their ids, and some ids are the same; give each its own")
    order = np.argsort(pool.ids)
    labels = pool.labels[order]
    if len(np.unique(labels)) == 1:
        raise UserError(
            f"admix mixes in images of other classes, and all {len(labels)} images are of class {labels[0]}; "
            "remove admix, or draw images of more classes"
        )
    return {int(label): order[labels != label] for label in np.unique(labels)}
