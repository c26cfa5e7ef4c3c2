"""Image transforms that params.yaml may name, and what each declares of its levels. Imports no torch.

The folder `pipeline/transforms/` is the registry: a file is a transform of the file's name, with a literal TRANSFORM
and a function `transform`.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

from crossfool.errors import small_pixel_value_message, unknown_name
from crossfool.part_files import part_names, read_part, summary

_FOLDER = Path(__file__).parents[1] / "transforms"


@dataclass(frozen=True)
class Transform:
    """A transform, as its file declares it.

    Attributes:
        name: The file's name.
        low, high: Least and greatest level.
        unit: What a level is, in words of the report: "quality".
        cite: Where it comes from.
        meaning: What a level means, where the unit alone does not tell.
        whole: Whether levels are whole numbers.
        in_pixel_values: Whether levels are pixel values: 0, or 1 and more.
        neutral: The level that changes nothing; None where there is none.
        libraries: Distributions besides torch that compute it: other versions may give other pixels.
    """

    name: str
    low: float
    high: float
    unit: str
    cite: str
    meaning: str = ""
    whole: bool = False
    in_pixel_values: bool = False
    neutral: float | None = None
    libraries: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        """Dotted name of its module."""
        return f"crossfool.pipeline.transforms.{self.name}"

    @property
    def summary(self) -> str:
        """First line of the docstring of the transform's file."""
        return summary(_FOLDER / f"{self.name}.py")

    def level_error(self, level: float) -> str:
        """Error message for a level that the transform does not have; "" for one that it has."""
        if not self.low <= level <= self.high:
            return f"{level:g} is out of range {self.low:g} to {self.high:g} ({self.unit})"
        if self.in_pixel_values and (hint := small_pixel_value_message(level)):
            return f"level {level:g} ({self.unit}): {hint}"
        if self.whole and level != int(level):
            return f"{level:g} is no whole number, expected a {self.unit} of {self.low:g} to {self.high:g}"
        return ""


def transforms() -> dict[str, Transform]:
    """The transforms of all files, by name.

    Raises:
        UserError: a declaration is wrong.
    """
    return {name: find_transform(name) for name in part_names(_FOLDER)}


@functools.cache
def find_transform(name: str) -> Transform:
    """The transform of a name; other files are not read.

    Raises:
        UserError: no such transform, or its declaration is wrong.
    """
    names = part_names(_FOLDER)
    if name not in names:
        raise unknown_name("transform", name, names)
    return read_part(Transform, _FOLDER, name, "TRANSFORM")
