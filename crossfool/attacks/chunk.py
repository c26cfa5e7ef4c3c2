"""Clean images that are attacked together, and what comes out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

Crafted = tuple[dict[str, Tensor], Tensor]  # tensors by name, and which images had finite gradients, (N,) bool


@dataclass(frozen=True)
class Pool:
    """Clean images of a whole subset, from which a part draws others than those of its batch.

    Attributes:
        images: (N,C,H,W), pixels 0..255, uint8 as they are stored; read when they are drawn.
        labels: The images' classes, (N,) int64.
        ids: The images' ids in the data set, (N,) int64, in any order.
    """

    images: np.ndarray
    labels: np.ndarray
    ids: np.ndarray


@dataclass(frozen=True)
class Chunk:
    """Clean images with their labels: a chunk of a cell, or a part of one.

    Attributes:
        images: (N,C,H,W), pixels 0..255, uint8 as they are stored.
        labels: The images' classes, (N,) int64.
        target_labels: Classes that a targeted attack aims at, (N,) int64.
        ids: The images' ids in the data set, (N,); what is drawn at random is drawn by them.
        pool: The subset that the images are of, for attacks that take it (`RowParts.takes_pool`).
    """

    images: Tensor
    labels: Tensor
    target_labels: Tensor
    ids: Sequence[int]
    pool: Pool | None = None

    def part(self, part: slice) -> "Chunk":
        """Take some of the images, with what belongs to them."""
        return Chunk(self.images[part], self.labels[part], self.target_labels[part], self.ids[part], self.pool)
