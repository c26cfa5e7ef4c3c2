"""The sections `dataset` and `subset` of params.yaml: evaluation images, and which of them are attacked."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from crossfool.config import Count, Section, Seed


class Dataset(Section):
    """The data set of evaluation images, and of training images where models are trained.

    Attributes:
        name: The data set.
        path: A folder or tar file with the images; relative to params.yaml, `~` and `$VARIABLES` expanded.
        classes: For `imagefolder`: the data set whose class names the folders bear.
        folder: For `imagefolder`: the folder inside `path` whose sub-folders are the classes.
        train_folder: For `imagefolder`: the same for the training images, where models are trained.
    """

    name: Literal["mnist", "cifar10", "imagenet", "imagenet-sample", "imagefolder"]
    path: Annotated[str, Field(min_length=1)] | None = None
    classes: Literal["mnist", "cifar10", "imagenet"] | None = None
    folder: str | None = None
    train_folder: str | None = None

    @model_validator(mode="after")
    def _refuse_unused_keys(self) -> "Dataset":
        imagefolder = self.name == "imagefolder"
        for key in ("classes", "folder", "train_folder"):
            if getattr(self, key) is not None and not imagefolder:
                raise ValueError(f"{key} is used by imagefolder, not by {self.name}; remove it")
        if self.name == "imagenet-sample" and self.path is not None:
            raise ValueError("path is not used by imagenet-sample, whose images come with foolbox; remove it")
        if self.name in ("imagenet", "imagefolder") and self.path is None:
            raise ValueError(f"path is missing; {self.name} needs the folder or tar file that holds the images")
        return self

    @property
    def family(self) -> str:
        """Family of the classes that the labels stand for: mnist, cifar10 or imagenet."""
        if self.name == "imagefolder":
            return self.classes or "imagenet"
        return "imagenet" if self.name == "imagenet-sample" else self.name


class Subset(Section):
    """The images that are attacked: drawn from those that all models classify correctly (paper section 4).

    Attributes:
        images: Number of images, or `all`.
        seed: Seed of the draw of images and of target labels.
        targets: How a targeted attack's label is drawn: `random` among the other classes, or the `next` class.
        of: The images to draw from: those that all models classify correctly (`correct`), or `all`.
    """

    images: Count | Literal["all"]
    seed: Seed = 0
    targets: Literal["random", "next"] = "random"
    of: Literal["correct", "all"] = "correct"

    @field_validator("images", mode="wrap")
    @classmethod
    def _images(cls, value: Any, handler: Any) -> Any:
        if value == "all" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
            return value
        raise ValueError(f"is {value!r}, expected a whole number of at least 1, or all")
