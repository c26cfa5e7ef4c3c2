"""Types that the attack loop, its parts and the analyses of gradients share; what a part knows about its attack."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from crossfool.attacks.chunk import Pool

Model = Callable[["Tensor"], "Tensor"]  # images (N,C,H,W), pixels 0..255 -> logits or log-probabilities (N,K)
Loss = Callable[["Tensor"], "Tensor"]  # images (N,C,H,W), pixels 0..255 -> a loss for each image (N,)
Estimate = Callable[[Loss, "Tensor"], "Tensor"]  # loss, images -> raw gradient, shaped as the images
Direction = Callable[["Tensor"], "Tensor"]  # raw gradient -> direction, whose sign is the step (in L2: it, normalised)
# step (the first is 0), images -> samples, each shaped as the images
Noise = Callable[[int, "Tensor"], Iterator["Tensor"]]


@dataclass(frozen=True)
class Rule:
    """An update rule with more than a direction; it holds the state of a single call of `loop.attack`.

    Attributes:
        direction: Raw gradient -> direction.
        look: Images -> points where the next gradient is taken; not clipped.
        lengths: Direction -> what each value of the step is multiplied by; None for steps as they are.
    """

    direction: Direction
    look: Callable[[Tensor], Tensor] = lambda x: x
    lengths: Callable[[Tensor], Tensor] | None = None


Update = Callable[[], Direction | Rule]  # makes a fresh update rule


@dataclass(frozen=True)
class Norm:
    """The norm of an attack's ball; images (N,C,H,W), pixels 0..255, an image at a time.

    Attributes:
        unit: Direction -> the step along it whose norm is 1, or below where the direction has zeros.
        project: (images, clean images, epsilon) -> images in the ball of radius epsilon and in 0..255.
        quantise: Likewise -> uint8 images in the ball.
    """

    unit: Callable[[Tensor], Tensor]
    project: Callable[[Tensor, Tensor, float], Tensor]
    quantise: Callable[[Tensor, Tensor, float], Tensor]


def as_rule(direction: Direction | Rule) -> Rule:
    """Wrap a direction as a rule; a rule is returned as it is."""
    return direction if isinstance(direction, Rule) else Rule(direction)


class Views(Protocol):
    """Views of an image whose gradients are averaged, see `inputs._views.ImageViews`."""

    @property
    def count(self) -> int: ...

    @property
    def view(self) -> Callable[[Tensor, int], Tensor]: ...

    @property
    def pull_back(self) -> Callable[[Tensor, int], Tensor]: ...

    def then(self, other: Views) -> Views: ...

    def mean_gradient(self, together: int) -> Estimate: ...


@dataclass(frozen=True)
class Context:
    """An attack on a batch of images, as far as its parts have to know it.

    Attributes:
        ids: The images' ids in the data set, (N,): what is drawn for an image is drawn by them, never by its batch.
        seed: The attack's seed.
        together: Number of copies of each image that share a pass through the model.
        copies: Gradient evaluations an image and step.
        pool: Clean images of the whole subset, in a row with a part that `takes_pool`; else None.
        noise: The noise of a gradient part that names one in its class line; else None.
        views: Views of each image whose gradients are averaged, by the row's input transformations; None for the
            image alone.
    """

    ids: Sequence[int]
    seed: int = 0
    together: int = 1
    copies: int = 1
    pool: Pool | None = None
    noise: Noise | None = None
    views: Views | None = None
