"""Types of values in params.yaml (counts, seeds, pixel distances, paths) and the base class of its sections.

Pixels are 0..255. A number that is written for pixels 0..1 is an error that says which number was meant.
"""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

from crossfool.errors import UserError, small_pixel_value_message, text_for_pixels_message


def _refuse_text(value: Any) -> Any:
    """Refuse a text, such as 8/255, and name the number of pixel values that it stands for."""
    if isinstance(value, str):
        raise PydanticCustomError("pixels", "{message}", {"message": text_for_pixels_message(value)})
    return value


def _refuse_unit_scale(value: float) -> float:
    """Refuse a number that is written for pixels 0..1."""
    if message := small_pixel_value_message(value):
        raise PydanticCustomError("pixels", "{message}", {"message": message})
    return value


RefuseText, RefuseUnitScale = BeforeValidator(_refuse_text), AfterValidator(_refuse_unit_scale)

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+(\+[A-Za-z0-9_]+)*$")]
Positive = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]  # a float32 holds the square of it, too
NotNegative = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Pixels = Annotated[float, Field(ge=0, le=255, allow_inf_nan=False), RefuseUnitScale, RefuseText]
Length = Annotated[
    float, Field(ge=0, le=1e6, allow_inf_nan=False), RefuseUnitScale, RefuseText
]  # of a perturbation, in some norm
Radius = Annotated[float, Field(gt=0, le=255, allow_inf_nan=False), RefuseUnitScale, RefuseText]
NoiseDeviation = Annotated[
    float, Field(ge=0, le=1e6, allow_inf_nan=False), RefuseUnitScale, RefuseText
]  # of noise; 0 draws none
Step = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False), RefuseText]
Axis = Annotated[
    int | float, Field(ge=0, le=255), RefuseUnitScale, RefuseText
]  # as it is written, since cells are named by it
AxisStep = Annotated[int | float, Field(gt=0, le=255), RefuseText]
TransformLevel = Annotated[float, Field(allow_inf_nan=False)]
Precision = Literal["float32", "tf32", "bfloat16"]


class Section(BaseModel):
    """A section of params.yaml: immutable, with no keys but its own, and with tuples for YAML's lists."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @classmethod
    def key_names(cls) -> tuple[str, ...]:
        """All keys that the section may have."""
        return tuple(cls.model_fields)

    @field_validator("*", mode="before")
    @classmethod
    def _lists_are_tuples(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value


def expand_path(path: str, key: str = "", folder: Path = Path()) -> Path:
    """Expand `~` and `$VARIABLES` in a path from params.yaml.

    Args:
        path: The path as it is written.
        key: The key of params.yaml that holds it. Where given, a variable that is not set is an error.
        folder: The folder that a relative path starts from.

    Raises:
        UserError: a variable is not set, and no file or folder has the dollar sign in its name.
    """
    expanded = os.path.expandvars(path)
    location = folder / os.path.expanduser(expanded)
    unset = re.search(r"\$(\w+)", expanded)
    if key and unset and not os.path.lexists(location):
        raise UserError(
            f"{key}: {path}: ${unset[1]} is not set; set it (`export {unset[1]}=...`), or write the path itself"
        )
    return location
