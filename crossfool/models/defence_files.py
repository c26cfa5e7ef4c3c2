"""Input defences of target models, each declared in a file of `defences/`: the folder is their registry. No torch.

A file is a defence of the file's name, with a literal DEFENCE and a function `defend`, which takes one image: so
neither the batch nor the order of images matters.
"""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from crossfool.errors import small_pixel_value_message, unknown_name
from crossfool.part_files import part_names, read_part, summary

_FOLDER = Path(__file__).parent / "defences"


@dataclass(frozen=True)
class Defence:
    """A defence, as its file declares it.

    Attributes:
        name: The file's name, which is the defence's key in params.yaml.
        low, high: Least and greatest level.
        unit: What a level is: "quality".
        words: The defence at a level, as a phrase with {level}.
        cite: Where it comes from.
        whole: Whether levels are whole numbers.
        in_pixel_values: Whether levels are pixel values.
        exceeds_side: Whether levels are sides in pixels that exceed the images'.
        combine: How predictions of several draws become one: "mean" of probabilities, or majority of "votes"; "" where
            nothing is drawn at random.
        libraries: Distributions besides torch that compute it: other versions may give other pixels.
    """

    name: str
    low: float
    high: float
    unit: str
    words: str
    cite: str
    whole: bool = False
    in_pixel_values: bool = False
    exceeds_side: bool = False
    combine: Literal["", "mean", "votes"] = ""
    libraries: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        """Dotted name of its module."""
        return f"{__package__}.{_FOLDER.name}.{self.name}"

    @property
    def summary(self) -> str:
        """First line of the docstring of the defence's file."""
        return summary(_FOLDER / f"{self.name}.py")

    def level_error(self, level: float) -> str:
        """Error message for a level that the defence does not have; "" for one that it has."""
        if self.in_pixel_values and (hint := small_pixel_value_message(level)):
            return f"is {level:g} ({self.unit}): {hint}"
        if not self.low <= level <= self.high:
            return f"is {level:g}, out of range {self.low:g} to {self.high:g} ({self.unit})"
        if self.whole and level != int(level):
            return f"is {level:g}, expected a whole number ({self.unit})"
        return ""


def defences() -> dict[str, Defence]:
    """The defences of all files, by name.

    Raises:
        UserError: a declaration is wrong.
    """
    return {name: find_defence(name) for name in part_names(_FOLDER)}


@functools.cache
def find_defence(name: str) -> Defence:
    """The defence of a name; other files are not read.

    Raises:
        UserError: no such defence, or its declaration is wrong.
    """
    names = part_names(_FOLDER)
    if name not in names:
        raise unknown_name("defence", name, names)
    return read_part(Defence, _FOLDER, name, "DEFENCE")
