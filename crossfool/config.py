"""Types of values in params.yaml (counts, seeds, pixel distances, paths) and the base class of its sections.

Pixels are 0..255. A number that is written for pixels 0..1 is an error that says what was meant."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
)
from pydantic_core import PydanticCustomError

from crossfool.errors import UserError, not_a_number, too_small


def _number(value: Any) -> Any:
    """A number in pixel values; of a text the error says which number it stands for."""
    if isinstance(value, str):
        raise PydanticCustomError("pixels", "{said}", {"said": not_a_number(value)})
    return value


def _of_pixels(value: float) -> float:
    """Refuse what is written for pixels 0..1."""
    if said := too_small(value):
        raise PydanticCustomError("pixels", "{said}", {"said": said})
    return value


Written, Scaled = BeforeValidator(_number), AfterValidator(_of_pixels)

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+(\+[A-Za-z0-9_]+)*$")]
Positive = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]  # a float32 holds the square of it, too
NotNegative = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Pixels = Annotated[float, Field(ge=0, le=255, allow_inf_nan=False), Scaled, Written]
Radius = Annotated[float, Field(gt=0, le=255, allow_inf_nan=False), Scaled, Written]
Deviation = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False), Scaled, Written]  # of noise; 0 draws none
Step = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False), Written]
Axis = Annotated[int | float, Field(ge=0, le=255), Scaled, Written]  # as it is written, since cells are named by it
AxisStep = Annotated[int | float, Field(gt=0, le=255), Written]
Level = Annotated[float, Field(allow_inf_nan=False)]
Precision = Literal["float32", "tf32", "bfloat16"]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @field_validator("*", mode="before")
    @classmethod
    def _lists_are_tuples(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value


def located(path: str, key: str = "", folder: Path = Path()) -> Path:
    """A path from params.yaml, `~` and `$VARIABLES` expanded.

    Args:
        path: As it is written.
        key: Where it is written, for who is about to read there: then every variable has to be set.
        folder: What a relative path is relative to.

    Raises:
        UserError: a variable is not set, and there is no file or folder whose name has the dollar sign.
    """
    import os

    expanded = os.path.expandvars(path)
    found = folder / os.path.expanduser(expanded)
    left = re.search(r"\$(\w+)", expanded)
    if key and left and not os.path.lexists(found):
        raise UserError(
            f"{key}: {path}: ${left[1]} is not set; set it (`export {left[1]}=...`), or write the path itself"
        )
    return found
