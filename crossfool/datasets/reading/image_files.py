"""Image files of a folder or tar file: listed in order, and read one by one."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from crossfool.datasets.reading.image_names import (
    HIDDEN,
    NO_FILE,
    checked_utf8,
    ending,
    is_hidden,
    is_image,
    lies_under,
)
from crossfool.datasets.reading.tar_index import TarIndex, decompress, index_tar, is_compressed
from crossfool.errors import UserError

PEEK = 2_000  # members of a tar that are looked at where it is not read whole


@dataclass(frozen=True)
class ImageFiles:
    """The image files in a folder or a tar file; made by `open_images`. Cheap to send to another process.

    Attributes:
        path: The folder or tar file, as the user gave it.
        tar: The uncompressed tar file that is read from; None for a folder.
        index: The members of the tar; None for a folder.
    """

    path: Path
    tar: Path | None = None
    index: TarIndex | None = None
    _walked: dict[str, list[tuple[str, str]]] = field(default_factory=dict, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_walked": {}}  # decoding needs no list of the folder

    @property
    def whole(self) -> bool:
        """Whether all files are listed; else those at the start of a tar."""
        return self.index is None or self.index.whole

    def names(self, under: str = "") -> list[str]:
        """Names of all image files at any depth below the folder `under`, relative to `path`, sorted.

        Names that start with a dot are passed over, as is every file without an image's extension.

        Raises:
            UserError: a symbolic link leads out of the folder or in circles, or a name is no UTF-8.
        """
        if self.index is None:
            names = (name for name, reason in self._listed(under) if not reason)
        else:
            names = (name for name in self.index.places if lies_under(name, under))
        return sorted(checked_utf8(name, self.path) for name in names)

    def passed_over(self, under: str = "") -> dict[str, str]:
        """Files that are passed over at any depth below the folder `under`: name, in order -> reason.

        The reason is the ending of the name, or `HIDDEN` (of a hidden folder, the folder alone), or `NO_FILE`.
        """
        if self.index is None:
            reasons = ((name, reason) for name, reason in self._listed(under) if reason)
        else:
            reasons = ((name, reason) for name, reason in self.index.passed_over.items() if lies_under(name, under))
        return dict(sorted(reasons))

    def _listed(self, under: str) -> list[tuple[str, str]]:
        """The files in a folder, as `_walk` has them; read from the disk once."""
        if under not in self._walked:
            exists = (self.path / under).is_dir()
            self._walked[under] = list(_walk(self.path, PurePosixPath(under), ())) if exists else []
        return self._walked[under]

    def first_empty(self, names: Sequence[str]) -> str | None:
        """The first of the named images that has no bytes; None where all have."""
        if self.index is not None:
            places = self.index.places
            return next((name for name in names if not places[name][1]), None)
        return next((name for name in names if not os.stat(self.path / name).st_size), None)

    def folders(self, under: str = "") -> list[str]:
        """Names of the folders directly in the folder `under`, sorted; those that start with a dot are passed over."""
        if self.index is None:
            entries = (self.path / under).iterdir() if (self.path / under).is_dir() else iter(())
            names = [entry.name for entry in entries if not is_hidden(entry.name) and entry.is_dir()]
        else:
            paths = map(PurePosixPath, self.index.folders)
            names = [path.name for path in paths if path.parent == PurePosixPath(under)]
        return sorted(checked_utf8(name, self.path) for name in names)

    def read(self, name: str) -> bytes:
        """The bytes of an image file.

        Raises:
            UserError: the file cannot be read.
        """
        try:
            if self.index is None:
                return (self.path / name).read_bytes()
            assert self.tar is not None
            offset, length = self.index.places[name]
            with open(self.tar, "rb") as file:
                file.seek(offset)
                return file.read(length)
        except OSError as error:
            raise UserError(f"{self.where(name)} cannot be read ({error.strerror}); check the file") from None

    def read_other(self, name: str) -> bytes:
        """The bytes of a file that is no image, one of those that `passed_over` lists by their endings.

        Raises:
            UserError: the file cannot be read.
        """
        if self.index is None:
            return self.read(name)
        assert self.tar is not None
        try:
            return self.index.read_other(self.tar, name)
        except OSError as error:
            raise UserError(f"{self.where(name)} cannot be read ({error.strerror}); check the file") from None

    def where(self, name: str) -> str:
        """A file's place as a user would look for it, for errors."""
        return str(self.path / name) if self.index is None else f"{self.path}: {name}"


@contextlib.contextmanager
def open_images(path: Path) -> Iterator[ImageFiles]:
    """Open the image files in a folder or a tar file, for the time of the block.

    A tar file is read in place, by offset; a compressed one is decompressed first, once, into the temporary folder.
    Of a tar, regular files count; links in it are passed over.

    Raises:
        UserError: there is no such folder or file, or it is no tar, or the tar is damaged.
    """
    if path.is_dir():
        yield ImageFiles(path)
        return
    _refuse_missing(path)
    with contextlib.ExitStack() as stack:
        tar = path
        if is_compressed(path):
            tar = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crossfool-"))) / "images.tar"
            decompress(path, tar)
        yield ImageFiles(path, tar, index_tar(path, tar))


def peek(path: Path) -> ImageFiles:
    """List the image files in a folder or at the start of a tar file, quickly and without the means to read them.

    Raises:
        UserError: as `open_images`, for what is seen.
    """
    if path.is_dir():
        return ImageFiles(path)
    _refuse_missing(path)
    return ImageFiles(path, path, index_tar(path, path, most=PEEK))


def _refuse_missing(path: Path) -> None:
    """Refuse a path that is no file."""
    if not path.is_file():
        raise UserError(f"{path} does not exist; expected a folder or a tar file with the images")


def _walk(root: Path, below: PurePosixPath, parents: tuple[Path, ...]) -> Iterator[tuple[str, str]]:
    """Names of the files below a folder, and the reasons why they are passed over, "" for image files.

    Args:
        root: The folder to which names are relative.
        below: The folder in `root` that is walked.
        parents: The folders above it, links resolved.
    """
    folder = root / below
    real = _resolved_inside(folder, root)
    if real in parents:
        raise UserError(f"{folder} is a symbolic link to a folder that it lies in; remove it")
    with os.scandir(folder) as scan:
        entries = sorted(scan, key=lambda entry: entry.name)
    for entry in entries:
        name = str(below / entry.name)
        if is_hidden(entry.name):
            yield name, HIDDEN
        elif entry.is_dir():
            yield from _walk(root, below / entry.name, (*parents, real))
        elif is_image(entry.name):
            if entry.is_symlink():
                _resolved_inside(Path(entry.path), root)
            yield name, "" if entry.is_file() else NO_FILE
        else:
            yield name, ending(entry.name)


def _resolved_inside(path: Path, root: Path) -> Path:
    """The path with its links resolved, which must exist and lie in `root`."""
    real = path.resolve()
    if not real.exists() or not real.is_relative_to(root.resolve()):
        raise UserError(
            f"{path} is a symbolic link that leads out of {root} or nowhere; put the images themselves there"
        )
    return real
