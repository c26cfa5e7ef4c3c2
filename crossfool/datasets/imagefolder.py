"""Images of the user's own, in class folders."""

from typing import TYPE_CHECKING, Literal

from crossfool.datasets.preparation.dataset import Dataset, ImagesPath

if TYPE_CHECKING:
    from crossfool.datasets.preparation.split import Split
    from crossfool.datasets.reading.image_source import ImageSource


class Part(Dataset):
    """A folder or tar of class folders, of the classes of imagenet, cifar10 or mnist.

    Attributes:
        path: The folder or tar file that holds the images.
        classes: The data set whose class names the folders bear: `imagenet` (WordNet ids; where not given),
            `cifar10` or `mnist`.
        folder: The folder inside `path` whose sub-folders are the classes.
        train_folder: The same for training images, where a model is trained.
    """

    path: ImagesPath
    classes: Literal["mnist", "cifar10", "imagenet"] | None = None
    folder: str | None = None
    train_folder: str | None = None

    SOURCE = "your images"
    LICENCE = "yours to know"

    @property
    def family(self) -> str:
        """The data set whose classes the folders are."""
        return self.classes or "imagenet"

    @property
    def inner_paths(self) -> dict[str, str]:
        """The folders inside `path`."""
        named = {"folder": self.folder, "train_folder": self.train_folder}
        return {key: folder for key, folder in named.items() if folder is not None}

    def refuse_training(self, model: str | None) -> None:
        """Check that there is a folder of training images exactly if a model is trained."""
        if self.train_folder is not None and model is None:
            raise ValueError("dataset: train_folder is used by no model here, none is trained; remove it")
        if self.train_folder is None and model is not None:
            raise ValueError(f"dataset: train_folder is missing; {model} is to be trained on its images")

    def from_files(self, source: "ImageSource", training: bool) -> "tuple[Split, Split | None]":
        """Make splits of the class folders in `folder`, and in `train_folder` where wanted."""
        wanted = training and self.train_folder is not None
        train = source.by_class(self.family, self.train_folder, "train") if wanted else None
        return source.by_class(self.family, self.folder, self.folder or "all"), train
