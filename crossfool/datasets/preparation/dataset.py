"""The base class of the `Part` by which each module of `crossfool/datasets` declares its data set."""

import contextlib
import inspect
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from crossfool import config
from crossfool.config import Section
from crossfool.errors import UserError

if TYPE_CHECKING:
    from crossfool.datasets.preparation.split import Shape, Split
    from crossfool.datasets.reading.image_source import ImageSource

ImagesPath = Annotated[str, Field(min_length=1)]  # a folder or tar file


@dataclass(frozen=True)
class Survey:
    """Result of a look at a data set before anything is decoded.

    Attributes:
        images: Number of evaluation images; None where it is not known yet: for a download, or a large tar.
        notes: Lines on files that are passed over.
        training: Number of training images; None where none were looked for, or it is not known yet.
    """

    images: int | None
    notes: tuple[str, ...] = ()
    training: int | None = None


class Dataset(Section):
    """The base class of all data sets: a part's fields are its keys in params.yaml.

    A part's docstring documents it: the first line for `crossfool list`, the section Attributes for its keys. What
    computes is imported inside methods, since params.yaml is validated where nothing is computed.

    Attributes:
        name: The data set.
    """

    name: str

    FAMILY: ClassVar[str] = "imagenet"  # mnist, cifar10 or imagenet: whose classes the labels stand for
    SOURCE: ClassVar[str]  # where images come from, as a phrase
    LICENCE: ClassVar[str]  # a note on the terms of the images, for whoever publishes pictures of them
    FETCHED_FROM: ClassVar[str] = ""  # where images come from that no `path` is given for
    IMAGES: ClassVar[int | None] = None  # number of evaluation images, where the name tells it
    CORRECT_IMAGES: ClassVar[int | None] = None  # those that the default benchmark's models all classify correctly

    @property
    def family(self) -> str:
        """Family of the classes that the labels stand for: mnist, cifar10 or imagenet."""
        return self.FAMILY

    @property
    def shape(self) -> "Shape":
        """Shape of the prepared images, and the resizing of image files to it: those of the family."""
        from crossfool.datasets.preparation.split import SHAPES

        return SHAPES[self.family]

    @property
    def given_path(self) -> str | None:
        """The key `path` as it is written; None where there is none."""
        path: str | None = getattr(self, "path", None)
        return path

    @property
    def inner_paths(self) -> dict[str, str]:
        """Other keys that name a folder or file, relative to `path`, as they are written."""
        return {}

    def refuse_training(self, model: str | None) -> None:
        """Check that keys for training images are given if a model is trained, and not if none is.

        Args:
            model: A model that is trained; None where none is.

        Raises:
            ValueError: training images are missing, or are used by no model.
        """

    def refuse_given_targets(self) -> None:
        """Check that the data set gives target labels, which `subset: {targets: given}` asks for; most give none.

        Raises:
            ValueError: it gives none.
        """
        raise ValueError(f"subset: targets: given: {self.name} gives no target labels; take random or next")

    def place(self) -> Path:
        """The folder or tar file that `path` leads to.

        Raises:
            UserError: there is none.
        """
        path = config.expand_path(self.given_path or "", "dataset: path")
        if not path.exists():
            raise UserError(f"dataset: path: {path} does not exist; give the folder or tar file that holds the images")
        return path

    def from_files(self, source: "ImageSource", training: bool) -> "tuple[Split, Split | None]":
        """Make the splits of image files: those for evaluation, and those for training where wanted.

        Nothing is decoded before a split is written. A data set of other files has `splits` and `survey` instead.

        Raises:
            UserError: images are missing, or of no known class.
        """
        raise NotImplementedError(f"the data set {self.name} is not read from image files")

    def splits(self, training: bool, stack: contextlib.ExitStack) -> "tuple[Split, Split | None]":
        """Make the evaluation images, and the training images where wanted; the stack keeps their files open.

        Raises:
            UserError: images are missing, damaged, or of no known class.
        """
        from crossfool.datasets.reading import image_files
        from crossfool.datasets.reading.image_source import ImageSource

        files = stack.enter_context(image_files.open_images(self.place()))
        return self.from_files(ImageSource.from_files(files), training)

    def survey(self, *, training: bool) -> Survey:
        """Look at the files as `splits` does, by names and sizes alone: nothing is decoded, hashed or fetched.

        Raises:
            UserError: whatever preparation would refuse, as far as names and sizes show it.
        """
        from crossfool.datasets.reading import image_files
        from crossfool.datasets.reading.image_source import ImageSource

        if self.given_path is None:
            return Survey(None)
        source = ImageSource(image_files.peek(self.place()), "", "")
        if not source.files.whole:
            self.refuse_unlikely_start(source)
            return Survey(None)
        evaluation, train = self.from_files(source, training)
        for split in (evaluation, *([train] if train else [])):
            empty = source.files.first_empty(split.files)
            if empty is not None:
                raise UserError(f"{source.files.where(empty)} is empty (0 bytes); replace it or remove it")
        notes = dict.fromkeys(split.note for split in (evaluation, train) if split and split.note)
        return Survey(len(evaluation.labels), tuple(notes), None if train is None else len(train.labels))

    def refuse_unlikely_start(self, source: "ImageSource") -> None:
        """Check the start of a large tar, which `survey` does not read whole: an image lies in a class folder.

        Raises:
            UserError: none does.
        """
        source.refuse_no_class_folders(self.family)

    @classmethod
    def summary(cls) -> str:
        """First line of the docstring, without its full stop."""
        return inspect.cleandoc(cls.__doc__ or "").partition("\n")[0].rstrip(".")

    @classmethod
    def keys(cls) -> dict[str, str]:
        """The data set's keys in params.yaml beside `name`, with their descriptions from the docstring."""
        return {key: _described(cls.__doc__ or "").get(key, "") for key in cls.model_fields if key != "name"}

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Defaults of the keys that may be left out, by key."""
        return {key: field.default for key, field in cls.model_fields.items() if not field.is_required()}


def _described(docstring: str) -> dict[str, str]:
    """Names in a docstring's section Attributes -> their descriptions, without the full stop."""
    section = inspect.cleandoc(docstring).partition("Attributes:\n")[2]
    entries = re.findall(r"^    (\w+): (.+(?:\n {8}.+)*)", section, re.MULTILINE)
    return {name: " ".join(text.split()).rstrip(".") for name, text in entries}
