"""Index of the images in a tar file, and decompression of a compressed one."""

import bz2
import errno
import gzip
import lzma
import shutil
import tarfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossfool.datasets.reading.image_names import HIDDEN, NO_FILE, ending, is_hidden, is_image
from crossfool.errors import UserError, brief, naming_file

PEEKED = 64_000_000  # bytes, about, of a tar that is not read whole; of a compressed one, once decompressed
COMPRESSIONS: tuple[tuple[bytes, str, Callable[..., Any]], ...] = (  # first bytes, tarfile's name, opener
    (b"\x1f\x8b", "gz", gzip.open),
    (b"BZh", "bz2", bz2.open),
    (b"\xfd7zXZ\x00", "xz", lzma.open),
)


@dataclass(frozen=True)
class TarIndex:
    """Index of a tar file's members.

    Attributes:
        places: Image's name -> (offset in bytes, bytes) in the uncompressed tar.
        folders: Names of all folders.
        passed_over: Name of every other member -> why it is passed over.
        others: Name of every other regular file -> (offset, bytes), as in `places`.
        whole: Whether all members are listed; else those at the start of the tar.
    """

    places: Mapping[str, tuple[int, int]]
    folders: frozenset[str]
    passed_over: Mapping[str, str]
    others: Mapping[str, tuple[int, int]]
    whole: bool

    def read_other(self, tar: Path, name: str) -> bytes:
        """The bytes of a file that is no image, from the tar that was indexed, compressed or not."""
        offset, length = self.others[name]
        compression = _compression(tar)
        with open(tar, "rb") if compression is None else compression[1](tar) as file:
            file.seek(offset)
            data: bytes = file.read(length)
            return data


def is_compressed(path: Path) -> bool:
    """Whether a file is compressed by gzip, bzip2 or xz, by its first bytes."""
    return _compression(path) is not None


def decompress(path: Path, destination: Path) -> None:
    """Write the content of a compressed file to another file.

    Raises:
        UserError: the file is damaged or cut off.
    """
    compression = _compression(path)
    assert compression is not None, f"{path} is not compressed"
    _, opener = compression
    try:
        with naming_file(destination), opener(path) as packed, open(destination, "wb") as plain:
            shutil.copyfileobj(packed, plain, 1 << 20)
    except (EOFError, OSError, lzma.LZMAError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the system's: a full disk, a permission
            raise
        raise UserError(f"{path} is damaged or cut off ({error}); fetch it again") from None


def index_tar(path: Path, tar: Path, most: int | None = None) -> TarIndex:
    """List the images, folders and other members of a tar file.

    Args:
        path: The file as the user gave it, for errors.
        tar: The file that is read; uncompressed, unless `most` is given.
        most: Members to look at; all, where not given.

    Raises:
        UserError: the file is no tar, or a damaged one, or a member cannot be used.
    """
    places: dict[str, tuple[int, int]] = {}
    folders: set[str] = set()
    passed_over: dict[str, str] = {}
    others: dict[str, tuple[int, int]] = {}
    compression = _compression(tar)
    try:
        mode: Any = f"r:{compression[0] if compression is not None and most is not None else ''}"
        with tarfile.open(tar, mode) as archive:
            for number, entry in enumerate(archive):
                if most is not None and (number >= most or archive.offset > PEEKED):
                    return TarIndex(places, frozenset(folders), passed_over, others, whole=False)
                if entry.size < 0:  # tarfile would go back and read the same again, for ever
                    raise ValueError(f"the member {entry.name!r} has {entry.size} bytes")
                parts = [part for part in entry.name.split("/") if part not in ("", ".")]
                if ".." in parts:
                    raise UserError(
                        f"{path}: the member {entry.name!r} leads out of the tar; make the tar anew without it"
                    )
                hidden = next((level for level, part in enumerate(parts, 1) if is_hidden(part)), None)
                if hidden is not None:
                    passed_over["/".join(parts[:hidden])] = HIDDEN
                    continue
                name = "/".join(parts)
                if not (entry.isdir() or entry.isreg()):
                    passed_over[name] = NO_FILE
                    continue
                depth = len(parts) if entry.isdir() else len(parts) - 1
                folders.update("/".join(parts[:level]) for level in range(1, depth + 1))
                if entry.isreg() and not is_image(name):
                    passed_over[name], others[name] = ending(name), (entry.offset_data, entry.size)
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
        raise UserError(
            f"{path} is no tar file, or a damaged one ({brief(error)}); expected a folder or a tar file"
        ) from None
    if most is None or compression is None:
        with open(tar, "rb") as file:
            file.seek(end)
            if file.read(512) != bytes(512):
                raise UserError(f"{path} is damaged or cut off at byte {end}; fetch it again")
    return TarIndex(places, frozenset(folders), passed_over, others, whole=True)


def _compression(path: Path) -> tuple[str, Callable[..., Any]] | None:
    """tarfile's name of a file's compression, and what opens it, by the first bytes; None for an uncompressed file."""
    with open(path, "rb") as file:
        start = file.read(6)
    return next(((name, opener) for magic, name, opener in COMPRESSIONS if start.startswith(magic)), None)
