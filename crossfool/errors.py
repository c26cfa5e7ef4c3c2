"""The one exception that users are meant to read, and what it says of numbers on the wrong scale."""

import contextlib
import difflib
import errno
import os
import re
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

PIXEL = 255  # the greatest; the least is 0
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


def brief(error: object, width: int = 160) -> str:
    """An exception's message on one line, without a terminal's colours, cut between two words."""
    plain = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", str(error))
    return textwrap.shorten(plain, width, placeholder=" ...") or type(error).__name__


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


def unknown(kind: str, name: object, valid: Iterable[str], why: str = "") -> UserError:
    """An error for a name that is not among the valid ones, with the nearest of them.

    Args:
        kind: What the name stands for, as the user would say it ("model", "key of attack igsm").
        name: What was given.
        valid: All names that would have been right.
        why: What is wrong, where that is more than an unknown name.
    """
    choices = sorted(valid)
    near = difflib.get_close_matches(str(name), choices, n=2, cutoff=0.6)
    if near:
        hint = "did you mean " + " or ".join(near) + "?"
    elif len(choices) <= 20:
        hint = "valid: " + ", ".join(choices) if choices else "none is valid here"
    else:
        hint = f"valid: {', '.join(choices[:12])} and {len(choices) - 12} more"
    return UserError(f"unknown {kind} {name!r}{f': {why}' if why else ''}; {hint}")


# --- pixel values on another scale ----------------------------------------------------------------------------------


def in_pixels(share: float) -> str:
    """A share of 1 in pixel values: 8 of 0.03137, which is 8/255 but for its last digits."""
    value = PIXEL * share
    return f"{round(value)}" if round(value) and abs(value - round(value)) < 0.05 else f"{value:.4g}"


def too_small(value: float) -> str:
    """The end of an error for a number of pixel values between 0 and 1; "" for any other."""
    if not 0 < value < 1:
        return ""
    meant = f"did you mean {in_pixels(value)}?" if PIXEL * value > 0.95 else "write 1 or more"
    return f"pixels are 0..{PIXEL}, and less than one pixel value is lost; {meant}"


def refuse_small(name: str, value: float) -> None:
    """Refuse a number of pixel values that is written for pixels 0..1.

    Raises:
        UserError: it lies between 0 and 1.
    """
    if said := too_small(value):
        raise UserError(f"{name} is {value:g}: {said}")


def no_step(epsilon: float, steps: int, step_size: float) -> str:
    """An error for steps so small that no stored pixel changes; "" for others.

    Stored images are whole numbers: what is less than half a pixel value away from the clean one is rounded back.
    """
    if epsilon == 0 or steps * step_size >= 0.5:
        return ""
    many = "1 step" if steps == 1 else f"{steps} steps"
    return (
        f"step_size is {step_size:g}: {many} of it reach {steps * step_size:.3g}, which rounds to no change, since "
        f"pixels are 0..{PIXEL}; did you mean {in_pixels(step_size)}?"
    )


def not_a_number(text: str) -> str:
    """The end of an error for a text, such as 8/255 or 3%, where a number of pixel values is expected."""
    expected = f"expected a number of pixel values, 0..{PIXEL}"
    found = re.fullmatch(r"([\d.]+(?:e[-+]?\d+)?)\s*(?:/\s*([\d.]+)|(%))?", text.strip(), re.IGNORECASE)
    try:
        if found is None:
            return expected
        value = float(found[1]) / (float(found[2]) if found[2] else 100 if found[3] else 1)
    except (ValueError, ZeroDivisionError):
        return expected
    share = found[2] or found[3] or 0 < value < 1
    if value > (1 if share else PIXEL):
        return expected
    return f"{expected}; write {in_pixels(value) if share else f'{value:g}'}"


def refuse_unit_images(images: Any) -> None:
    """Refuse an array or tensor of images whose pixels are 0..1.

    Whole numbers pass, so that black images do, and images of zeros and ones.

    Raises:
        UserError: all values lie in 0..1, and some are not whole.
    """
    if 0 in images.shape or not (float(images.min()) >= 0 and float(images.max()) <= 1):
        return
    if bool((images % 1 != 0).any()):
        raise UserError(f"pixels are 0..{PIXEL}, and these images lie in 0..1; multiply them by {PIXEL}")
