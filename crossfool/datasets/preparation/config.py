"""The section `subset` of params.yaml: which of the evaluation images are attacked."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from crossfool.config import Count, Section, Seed


class Subset(Section):
    """The images that are attacked: drawn from those that all models classify correctly (paper section 4).

    Keys that came later are None where they are not given, so that plans and pages without them stay as they are.

    Attributes:
        images: Number of images that reports score, or `all` but the tuning images.
        seed: Seed of the draw of images and of target labels.
        targets: How a targeted attack's label is drawn: `random` among the other classes, or the `next` class; or the
            data set's own, `given` with its images.
        of: The images to draw from: those that all models classify correctly (`correct`), or `all`.
        tuning: Number of images that are set apart, to choose hyper-parameters on; None stands for 0.
        use: The images that are attacked: those that reports score (`scored`, for which None stands), or the `tuning`
            images.
    """

    images: Count | Literal["all"]
    seed: Seed = 0
    targets: Literal["random", "next", "given"] = "random"
    of: Literal["correct", "all"] = "correct"
    tuning: Annotated[int, Field(ge=0)] | None = None
    use: Literal["scored", "tuning"] | None = None

    @property
    def uses_tuning(self) -> bool:
        """Whether the tuning images are attacked, and not those that reports score."""
        return self.use == "tuning"

    @field_validator("images", mode="wrap")
    @classmethod
    def _images(cls, value: Any, handler: Any) -> Any:
        if value == "all" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
            return value
        raise ValueError(f"is {value!r}, expected a whole number of at least 1, or all")

    @model_validator(mode="after")
    def _tuning_is_there(self) -> "Subset":
        if self.uses_tuning and not self.tuning:
            raise ValueError("use: tuning asks for tuning images, and none are set apart; set tuning to their number")
        return self
