"""1,000 public photographs, one of each of ImageNet's classes, each checked against its sha256."""

import contextlib
import csv
import dataclasses
import functools
import hashlib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from crossfool.datasets.preparation.dataset import Dataset, ImagesPath

if TYPE_CHECKING:
    from crossfool.datasets.preparation.split import Append, Split
    from crossfool.datasets.reading.image_files import ImageFiles
    from crossfool.datasets.reading.image_source import ImageSource

COMMIT = "bc69043e2862758a1906c6a24a792bb28c6bb2ff"
URL = f"https://github.com/EliSchwartz/imagenet-sample-images/archive/{COMMIT}.tar.gz"
ORIGIN = f"github.com/EliSchwartz/imagenet-sample-images@{COMMIT}"


class Part(Dataset):
    """1,000 photographs, one of each of ImageNet's classes, 224 px; very probably training images of ImageNet.

    EfficientNet-Lite 0 to 2 get 88.2, 88.2 and 89.2% of them right (at 224 px), ten points more than is published for
    the validation set.

    Download: 111 MB, kept as archives/imagenet-sample-images-*.tar.gz

    Attributes:
        path: A folder or tar file with the photographs under their own names, such as a clone of the repository or its
            archive; without it, the archive is fetched (111 MB).
    """

    path: ImagesPath | None = None

    SOURCE = "GitHub, EliSchwartz/imagenet-sample-images; each file's sha256 is pinned"
    LICENCE = "the repository states none; ImageNet's terms of access: research, no redistribution"
    FETCHED_FROM = "GitHub's archive"
    IMAGES = 1000
    CORRECT_IMAGES = 837

    def splits(self, training: bool, stack: contextlib.ExitStack) -> "tuple[Split, Split | None]":
        """Open `path`, else the archive, which is fetched where it is not in the cache; no training images."""
        from crossfool.datasets.reading import image_files
        from crossfool.datasets.reading.image_source import ImageSource

        place = fetched_archive() if self.path is None else self.place()
        source = ImageSource(stack.enter_context(image_files.open_images(place)), ORIGIN, "")
        split, _ = self.from_files(source, training)
        return dataclasses.replace(split, files=[PurePosixPath(name).name for name in split.files]), None

    def from_files(self, source: "ImageSource", training: bool) -> "tuple[Split, Split | None]":
        """Make a split of the photographs in the manifest's order; each is checked before any is decoded."""
        from crossfool.datasets.preparation.class_names import class_folders

        names = ordered_names(source.files)
        labels = {folder: label for label, folder in enumerate(class_folders("imagenet"))}
        split = source.split(self.shape, names, [labels[file.partition("_")[0]] for file in manifest()], "sample")

        def write(append: "Append") -> None:
            refuse_other_bytes(source.files, names)
            split.write(append)

        return dataclasses.replace(split, write=write, note=""), None

    def refuse_unlikely_start(self, source: "ImageSource") -> None:
        """Check that the tar's first images are of the set."""
        refuse_strangers(source.files, source.files.names())


@functools.cache
def manifest() -> Mapping[str, str]:
    """Name of each photograph's file -> its sha256, in the order of labels."""
    table = resources.files("crossfool") / "datasets" / "imagenet_sample_images.csv"
    rows = csv.DictReader(table.read_text(encoding="utf-8").splitlines())
    return {row["file"]: row["sha256"] for row in rows}


def ordered_names(files: "ImageFiles") -> list[str]:
    """Names of the photographs in a folder or tar, in the manifest's order.

    Raises:
        UserError: a photograph is missing or there twice, or another image is there.
    """
    from crossfool.errors import UserError

    names = files.names()
    refuse_strangers(files, names)
    found: dict[str, str] = {}
    for name in names:
        other = found.setdefault(PurePosixPath(name).name, name)
        if other != name:
            raise UserError(f"{files.where(name)} is there twice, also as {other}; remove one")
    missing = [file for file in manifest() if file not in found]
    if missing:
        raise UserError(
            f"{files.path} holds {len(found):,} of the {len(manifest()):,} photographs; missing is {missing[0]}"
            f"{f' and {len(missing) - 1:,} more' if len(missing) > 1 else ''}; fetch {URL}, or leave path out"
        )
    return [found[file] for file in manifest()]


def refuse_strangers(files: "ImageFiles", names: Sequence[str]) -> None:
    """Refuse images that are not of the set.

    Raises:
        UserError: there is one.
    """
    from crossfool.errors import UserError

    for name in names:
        if PurePosixPath(name).name not in manifest():
            raise UserError(
                f"{files.where(name)} is not of imagenet-sample-images; remove it, or take the data set imagefolder"
            )


def refuse_other_bytes(files: "ImageFiles", names: Sequence[str]) -> None:
    """Refuse photographs of another sha256 than the manifest's; `names` are in its order.

    Raises:
        UserError: a file's bytes are others.
    """
    from crossfool.errors import UserError

    for name, (file, digest) in zip(names, manifest().items(), strict=True):
        found = hashlib.sha256(files.read(name)).hexdigest()
        if found != digest:
            raise UserError(
                f"{files.where(name)} is damaged or another image: expected sha256 {digest[:16]}... of {file}, found "
                f"{found[:16]}...; fetch {URL} again"
            )


def fetched_archive() -> Path:
    """The archive in the cache of downloads, fetched where it is not there and checked before it is kept.

    Raises:
        UserError: it cannot be fetched, or holds other bytes than the manifest's.
    """
    from crossfool.datasets.reading import image_files
    from crossfool.errors import UserError
    from crossfool.storage import downloads, wheels

    kept = wheels.cache_folder() / "archives" / f"imagenet-sample-images-{COMMIT}.tar.gz"
    if kept.is_file():
        return kept
    unchecked = kept.with_name(f"{kept.name}.unchecked")
    with wheels.naming_cache_variable():
        downloads.download(URL, unchecked, "fetch it elsewhere and name it in dataset: path")
        try:
            with image_files.open_images(unchecked) as files:
                refuse_other_bytes(files, ordered_names(files))
        except UserError as error:
            unchecked.unlink()
            raise UserError(f"what {URL} sent is not kept: {error}") from None
        unchecked.replace(kept)
    return kept
