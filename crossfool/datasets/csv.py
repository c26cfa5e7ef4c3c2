"""Images of the user's own, whose labels stand in a table."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from crossfool.datasets.preparation.dataset import Dataset, ImagesPath

if TYPE_CHECKING:
    from crossfool.datasets.preparation.split import Shape, Split
    from crossfool.datasets.reading.image_source import ImageSource

TableName = Annotated[str, Field(min_length=1)]
COUNTED_FROM_ONE = "; where the table counts classes from 1, set dataset: first_label: 1"


class Part(Dataset):
    """A folder or tar of images with a table of their labels, of the classes of imagenet, cifar10 or mnist.

    Attributes:
        path: The folder or tar file that holds the images.
        table: The table, a CSV file with a line of column names, in `path` or beside it; its order is the images'.
        file_column: The column of file names, which may be whole or their last parts, with the ending or without it;
            where not given, `file`, or else `filename`, `image`, `path` or `ImageId`.
        label_column: The column of labels, which may be numbers, WordNet ids or class names; where not given, `label`,
            or else `class`, `class_id`, `label_id`, `wnid` or `synset`.
        target_column: The column of target labels, for `subset: {targets: given}`.
        first_label: The number of the first class, where labels are numbers: 0, or 1.
        classes: The data set whose classes the labels are: `imagenet` (where not given), `cifar10` or `mnist`.
        side: The side in pixels, 8 to 512, of ImageNet's pictures that are square and keep their size; where not given,
            they are resized to 256 and cropped to 224.
        train_table: The table of training images, where a model is trained; read as `table` is.
    """

    path: ImagesPath
    table: TableName
    file_column: str | None = None
    label_column: str | None = None
    target_column: str | None = None
    first_label: Annotated[int, Field(ge=0, le=1)] = 0
    classes: Literal["mnist", "cifar10", "imagenet"] | None = None
    side: Annotated[int, Field(ge=8, le=512)] | None = None
    train_table: TableName | None = None

    SOURCE = "your images"
    LICENCE = "yours to know"

    @model_validator(mode="after")
    def _side_is_of_imagenet(self) -> "Part":
        if self.side is not None and self.family != "imagenet":
            raise ValueError(f"side is for pictures of ImageNet's classes, and classes is {self.family}; remove it")
        return self

    @property
    def family(self) -> str:
        """The data set whose classes the labels are."""
        return self.classes or "imagenet"

    @property
    def shape(self) -> "Shape":
        """Shape of the images: the family's, or `side` x `side` without resizing."""
        from crossfool.datasets.preparation.split import Shape

        return super().shape if self.side is None else Shape(3, self.side, None)

    @property
    def inner_paths(self) -> dict[str, str]:
        """The tables, if they lie inside `path`."""
        named = {"table": self.table, "train_table": self.train_table}
        return {key: name for key, name in named.items() if name is not None}

    def refuse_training(self, model: str | None) -> None:
        """Check that there is a table of training images exactly if a model is trained."""
        if self.train_table is not None and model is None:
            raise ValueError("dataset: train_table is used by no model here, none is trained; remove it")
        if self.train_table is None and model is not None:
            raise ValueError(f"dataset: train_table is missing; {model} is to be trained on its images")

    def refuse_given_targets(self) -> None:
        """Check that the column of target labels is named."""
        if self.target_column is None:
            raise ValueError("subset: targets: given: name the column of target labels as dataset: target_column")

    def from_files(self, source: "ImageSource", training: bool) -> "tuple[Split, Split | None]":
        """Make splits of the images that `table` names, and of those that `train_table` names where wanted."""
        evaluation = self._split(source, self.table, "table", "all", self.target_column)
        if not training or self.train_table is None:
            return evaluation, None
        return evaluation, self._split(source, self.train_table, "train_table", "train", None)

    def _split(self, source: "ImageSource", table: str, key: str, name: str, target: str | None) -> "Split":
        """Make a split of the images that one table names."""
        from crossfool.datasets.reading.label_table import Column
        from crossfool.datasets.reading.table_files import read_table
        from crossfool.datasets.reading.table_split import FILE, LABEL, split_of_table

        return split_of_table(
            source,
            read_table(source.files, table, key),
            self.shape,
            self.family,
            name,
            file=Column("file_column", self.file_column, FILE),
            label=Column("label_column", self.label_column, LABEL),
            target=None if target is None else Column("target_column", target),
            first=self.first_label,
            hint="" if self.first_label else COUNTED_FROM_ONE,
        )

    def refuse_unlikely_start(self, source: "ImageSource") -> None:
        """Accept any start of a large tar: the table may lie at its end."""
