"""The section `subset` of params.yaml: which of the evaluation images are attacked."""

from typing import Any, Literal

from pydantic import field_validator

from crossfool.config import Count, Section, Seed


class Subset(Section):
    """The images that are attacked: drawn from those that all models classify correctly (paper section 4).

    Attributes:
        images: Number of images, or `all`.
        seed: Seed of the draw of images and of target labels.
        targets: How a targeted attack's label is drawn: `random` among the other classes, or the `next` class; or the
            data set's own, `given` with its images.
        of: The images to draw from: those that all models classify correctly (`correct`), or `all`.
    """

    images: Count | Literal["all"]
    seed: Seed = 0
    targets: Literal["random", "next", "given"] = "random"
    of: Literal["correct", "all"] = "correct"

    @field_validator("images", mode="wrap")
    @classmethod
    def _images(cls, value: Any, handler: Any) -> Any:
        if value == "all" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
            return value
        raise ValueError(f"is {value!r}, expected a whole number of at least 1, or all")
