"""Image files of a folder or tar: which files are images, in which order, and how each is opened."""

import bz2
import contextlib
import errno
import gzip
import lzma
import os
import shutil
import tarfile
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from crossfool.errors import UserError, printable, writing

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
FORMATS = ("JPEG", "PNG", "BMP", "WEBP")  # no others are tried: some of Pillow's readers start other programs
SYSTEMS_OWN = ("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini")
HIDDEN, NO_FILE = "hidden or a system's own", "a link or no file"  # why something is passed over, beside its ending
PEEK = 2_000  # members of a tar that are looked at where it is not to be read whole ...
PEEKED = 64_000_000  # ... and bytes, about; a compressed one is read as far
FEW = 64  # up to so many images, starting processes takes longer than decoding


@dataclass(frozen=True)
class ImageFiles:
    """The image files in a folder or a tar file; made by `open_images`. Cheap to send to another process.

    Attributes:
        path: The folder or tar file.
        tar: The uncompressed tar file that is read from; None for a folder.
        places: Of each image in the tar: name -> (offset in bytes, bytes).
        tar_folders: All folders in the tar.
        tar_others: What is passed over in the tar: name -> why.
        whole: Whether all is listed; else the start of a tar.
    """

    path: Path
    tar: Path | None = None
    places: dict[str, tuple[int, int]] | None = None
    tar_folders: frozenset[str] = frozenset()
    tar_others: Mapping[str, str] = field(default_factory=dict)
    whole: bool = True
    _seen: dict[str, list[tuple[str, str]]] = field(default_factory=dict, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_seen": {}}  # who decodes needs no list

    def names(self, under: str = "") -> list[str]:
        """Names of all image files at any depth below the folder `under`, relative to `path`, sorted.

        Names that start with a dot are passed over, as is every file without an image's extension.

        Raises:
            UserError: a symbolic link leads out of the folder or in circles, or a name is no UTF-8.
        """
        if self.places is None:
            found = (name for name, why in self._walked(under) if not why)
        else:
            found = (name for name in self.places if _lies(name, under))
        return sorted(_utf8(name, self.path) for name in found)

    def others(self, under: str = "") -> dict[str, str]:
        """What is passed over at any depth below the folder `under`: name, in order -> why.

        Why is the ending of its name, or `HIDDEN` (of a hidden folder, the folder alone), or `NO_FILE`.
        """
        if self.places is None:
            found = ((name, why) for name, why in self._walked(under) if why)
        else:
            found = ((name, why) for name, why in self.tar_others.items() if _lies(name, under))
        return dict(sorted(found))

    def _walked(self, under: str) -> list[tuple[str, str]]:
        """What is in a folder; asked of the disk once."""
        if under not in self._seen:
            there = (self.path / under).is_dir()
            self._seen[under] = list(_walk(self.path, PurePosixPath(under), ())) if there else []
        return self._seen[under]

    def empty(self, names: Sequence[str]) -> str | None:
        """The first of some images that has no bytes."""
        if self.places is not None:
            return next((name for name in names if not self.places[name][1]), None)
        return next((name for name in names if not os.stat(self.path / name).st_size), None)

    def folders(self, under: str = "") -> list[str]:
        """Names of the folders directly in the folder `under`, sorted; those that start with a dot passed over."""
        if self.places is None:
            inside = (self.path / under).iterdir() if (self.path / under).is_dir() else iter(())
            found = [entry.name for entry in inside if not _hidden(entry.name) and entry.is_dir()]
        else:
            parent = PurePosixPath(under)
            found = [
                PurePosixPath(folder).name for folder in self.tar_folders if PurePosixPath(folder).parent == parent
            ]
        return sorted(_utf8(name, self.path) for name in found)

    def read(self, name: str) -> bytes:
        """The bytes of one file.

        Raises:
            UserError: it cannot be read.
        """
        try:
            if self.places is None:
                return (self.path / name).read_bytes()
            assert self.tar is not None
            offset, length = self.places[name]
            with open(self.tar, "rb") as file:
                file.seek(offset)
                return file.read(length)
        except OSError as error:
            raise UserError(f"{self.where(name)} cannot be read ({error.strerror}); check the file") from None

    def where(self, name: str) -> str:
        """A file's place as a user would look for it."""
        return str(self.path / name) if self.places is None else f"{self.path}: {name}"


@contextlib.contextmanager
def open_images(path: Path) -> Iterator[ImageFiles]:
    """The image files in a folder or a tar file, for the time of the block.

    A tar file is read in place, by offset; a compressed one is decompressed first, once, into the temporary folder.
    Of a tar, regular files count; links in it are passed over.

    Raises:
        UserError: there is no such folder or file, or it is no tar, or the tar is damaged.
    """
    if path.is_dir():
        yield ImageFiles(path)
        return
    if not path.is_file():
        raise UserError(f"{path} does not exist; expected a folder or a tar file with the images")
    with contextlib.ExitStack() as stack:
        tar = path
        opener = _opener(path)
        if opener is not None:
            tar = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crossfool-"))) / "images.tar"
            try:
                with writing(tar), opener(path) as packed, open(tar, "wb") as plain:
                    shutil.copyfileobj(packed, plain, 1 << 20)
            except (EOFError, OSError, lzma.LZMAError, zlib.error) as error:
                if isinstance(error, OSError) and error.errno is not None:  # the system's: a full disk, a permission
                    raise
                raise UserError(f"{path} is damaged or cut off ({error}); fetch it again") from None
        yield _members(path, tar)


def peek(path: Path) -> ImageFiles:
    """The image files in a folder or at the start of a tar file, to be listed and not to be read; quick.

    Raises:
        UserError: as `open_images`, of what is seen.
    """
    if path.is_dir():
        return ImageFiles(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist; expected a folder or a tar file with the images")
    return _members(path, path, most=PEEK)


def passed_over(others: Mapping[str, str]) -> str:
    """How many files were passed over, why, and the first of them; "" if none were.

    Args:
        others: As `ImageFiles.others` has them.
    """
    if not others:
        return ""
    counts = Counter(others.values())
    hidden, kinds = counts.pop(HIDDEN, 0), counts.most_common()
    kinds = [*kinds[:6], ("others", sum(count for _, count in kinds[6:])), (HIDDEN, hidden)]
    said = [f"{why} ({count:,})" for why, count in kinds if count]
    first = next((name for name, why in others.items() if why != HIDDEN), next(iter(others)))
    files = "1 file" if len(others) == 1 else f"{len(others):,} files"
    endings = f"{', '.join(EXTENSIONS[:-1])} and {EXTENSIONS[-1]}"
    return printable(f"passed over: {files}: {', '.join(said)}; first {first} (images are {endings})")


def _opener(path: Path) -> Callable[..., Any] | None:
    """What decompresses a file, by its first bytes; None where nothing needs to."""
    with open(path, "rb") as file:
        start = file.read(6)
    for magic, opener in ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\x00", lzma.open)):
        if start.startswith(magic):
            return opener
    return None


def _compression(path: Path) -> str:
    """As tarfile calls it."""
    opener = _opener(path)
    return next(
        (name for known, name in ((gzip.open, "gz"), (bz2.open, "bz2"), (lzma.open, "xz")) if known is opener), ""
    )


def _members(path: Path, tar: Path, most: int | None = None) -> ImageFiles:
    """The images and folders in a tar; `path` is how the user calls it.

    Args:
        path, tar: The file; uncompressed, where it is not `most` that counts.
        most: Members that are looked at; all, where not given.
    """
    places: dict[str, tuple[int, int]] = {}
    folders: set[str] = set()
    others: dict[str, str] = {}
    try:
        mode: Any = f"r:{'' if most is None else _compression(tar)}"
        with tarfile.open(tar, mode) as archive:
            for number, entry in enumerate(archive):
                if most is not None and (number >= most or archive.offset > PEEKED):
                    return ImageFiles(path, tar, places, frozenset(folders), others, whole=False)
                if entry.size < 0:  # tarfile would go back and read the same again, for ever
                    raise ValueError(f"the member {entry.name!r} has {entry.size} bytes")
                parts = [part for part in entry.name.split("/") if part not in ("", ".")]
                if ".." in parts:
                    raise UserError(
                        f"{path}: the member {entry.name!r} leads out of the tar; make the tar anew without it"
                    )
                hidden = next((level for level, part in enumerate(parts, 1) if _hidden(part)), None)
                if hidden is not None:
                    others["/".join(parts[:hidden])] = HIDDEN
                    continue
                if not (entry.isdir() or entry.isreg()):
                    others["/".join(parts)] = NO_FILE
                    continue
                depth = len(parts) if entry.isdir() else len(parts) - 1
                folders.update("/".join(parts[:level]) for level in range(1, depth + 1))
                name = "/".join(parts)
                if entry.isreg() and not _is_image(name):
                    others[name] = _ending(name)
                elif entry.isreg():
                    if entry.issparse():
                        raise UserError(
                            f"{path}: {name} is stored as a sparse file; make the tar anew without --sparse"
                        )
                    places[name] = (entry.offset_data, entry.size)
            # tarfile ends quietly at a damaged header; the mark at a whole tar's end is a block of zeros
            end = archive.offset
    except UserError:
        raise
    except (
        *(tarfile.TarError, ValueError, EOFError, OSError, RecursionError, MemoryError),
        *(lzma.LZMAError, zlib.error),
    ) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # EINVAL: a place that no file has
            raise
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise UserError(
            f"{path} is no tar file, or a damaged one ({reason}); expected a folder or a tar file"
        ) from None
    if most is None or not _compression(tar):
        with open(tar, "rb") as file:
            file.seek(end)
            if file.read(512) != bytes(512):
                raise UserError(f"{path} is damaged or cut off at byte {end}; fetch it again")
    return ImageFiles(path, tar, places, frozenset(folders), others)


def _walk(root: Path, below: PurePosixPath, parents: tuple[Path, ...]) -> Iterator[tuple[str, str]]:
    """What is in the folder `below` of `root` and deeper: names, and why they are passed over, "" for image files.

    `parents` lie above the folder, links resolved.
    """
    folder = root / below
    real = _inside(folder, root)
    if real in parents:
        raise UserError(f"{folder} is a symbolic link to a folder that it lies in; remove it")
    with os.scandir(folder) as scan:
        entries = sorted(scan, key=lambda entry: entry.name)
    for entry in entries:
        name = str(below / entry.name)
        if _hidden(entry.name):
            yield name, HIDDEN
        elif entry.is_dir():
            yield from _walk(root, below / entry.name, (*parents, real))
        elif _is_image(entry.name):
            if entry.is_symlink():
                _inside(Path(entry.path), root)
            yield name, "" if entry.is_file() else NO_FILE
        else:
            yield name, _ending(entry.name)


def _inside(path: Path, root: Path) -> Path:
    """Where a path really leads, which must exist and lie in `root`."""
    real = path.resolve()
    if not real.exists() or not real.is_relative_to(root.resolve()):
        raise UserError(
            f"{path} is a symbolic link that leads out of {root} or nowhere; put the images themselves there"
        )
    return real


def _hidden(name: str) -> bool:
    """Whether a file or folder is some system's own (.DS_Store, ._photo.jpg, __MACOSX, Thumbs.db)."""
    return name.startswith(".") or name.lower() in SYSTEMS_OWN


def _is_image(name: str) -> bool:
    return name.lower().endswith(EXTENSIONS)


def _ending(name: str) -> str:
    """A name's ending, for who is told why it was passed over."""
    return PurePosixPath(name).suffix.lower()[:12] or "no ending"


def _lies(name: str, under: str) -> bool:
    return not under or name.startswith(under + "/")


def _utf8(name: str, path: Path) -> str:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise UserError(f"{path}: the name {name!r} is no UTF-8; rename it") from None
    return name
