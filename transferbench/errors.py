"""The one exception that users are meant to read."""

import contextlib
import difflib
import errno
import os
from collections.abc import Iterable, Iterator

REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}  # of a write, which name no file
DENIED = REFUSALS | {errno.EACCES, errno.EPERM}
MOVED = DENIED | {errno.ENOTDIR, errno.EEXIST, errno.ELOOP}  # of a folder that cannot be made or filled


class UserError(ValueError):
    """Bad input, told in one line: what was wrong, what was expected, what to do.

    Stages print it without a traceback and exit with code 2.
    """

    def __str__(self) -> str:
        return printable(super().__str__())


def printable(text: str) -> str:
    """The text with what would break its line, or work on a terminal, as YAML writes it in quotes."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Have a write that the system refuses in the block name a file: it says which only where one is opened."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in REFUSALS:
            error.filename = os.fspath(path)
        raise


@contextlib.contextmanager
def moved_by(variable: str, path: str | os.PathLike[str]) -> Iterator[None]:
    """Have what the system refuses at `path` name the environment variable that moves it elsewhere.

    Raises:
        UserError: there is no permission, the disk is full or read-only, or `path` begins with the home of nobody.
    """
    whole = os.fspath(path)
    if whole.startswith("~"):  # what `os.path.expanduser` leaves as it is
        raise UserError(f"{whole}: there is no home folder; set {variable} to a folder that can be written to")
    try:
        yield
    except OSError as error:
        place = whole if error.filename is None else os.fsdecode(error.filename)
        ends = os.path.abspath(place), os.path.abspath(whole)
        if error.errno not in MOVED or os.path.commonpath(ends) not in ends:  # elsewhere
            raise
        raise UserError(f"{error.strerror}: {place}; set {variable} to a folder that can be written to") from None


def unknown(kind: str, name: object, valid: Iterable[str]) -> UserError:
    """An error for a name that is not among the valid ones, with the nearest of them.

    Args:
        kind: What the name stands for, as the user would say it ("model", "key of attack igsm").
        name: What was given.
        valid: All names that would have been right.
    """
    choices = sorted(valid)
    near = difflib.get_close_matches(str(name), choices, n=2, cutoff=0.6)
    if near:
        hint = "did you mean " + " or ".join(near) + "?"
    elif len(choices) <= 20:
        hint = "valid: " + ", ".join(choices) if choices else "none is valid here"
    else:
        hint = f"valid: {', '.join(choices[:12])} and {len(choices) - 12} more"
    return UserError(f"unknown {kind} {name!r}; {hint}")
