"""Hashes of files' bytes."""

import functools
import hashlib
from pathlib import Path


def sha256(path: str | Path) -> str:
    """The sha256 of a file's bytes, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def md5(path: Path) -> str:
    """The md5 of a file's bytes in hex, by which DVC identifies the file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, functools.partial(hashlib.md5, usedforsecurity=False)).hexdigest()


def md5_of_bytes(data: bytes) -> str:
    """The md5 of bytes in hex, by which DVC identifies a file that holds them."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
