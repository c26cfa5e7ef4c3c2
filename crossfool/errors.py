"""The exception that users are meant to read, and the messages that several rooms share.

Such messages are about files that cannot be written, unknown names, and pixel values on another scale than 0..255.
"""

import contextlib
import difflib
import errno
import os
import re
import textwrap
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

MAX_PIXEL = 255  # the greatest pixel value; the least is 0
WRITE_ERRORS = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EIO,
}  # a write fails; the error names no file
WRITE_OR_PERMISSION_ERRORS = WRITE_ERRORS | {errno.EACCES, errno.EPERM}  # a file cannot be written or removed
FOLDER_ERRORS = WRITE_OR_PERMISSION_ERRORS | {
    errno.ENOTDIR,
    errno.EEXIST,
    errno.ELOOP,
}  # a folder cannot be made or filled


class UserError(ValueError):
    """Bad input, reported in one line: what was wrong, what was expected, what to do.

    Stages print it without a traceback and exit with code 2.
    """

    def __str__(self) -> str:
        return escape_unprintable(super().__str__())


def escape_unprintable(text: str) -> str:
    """Escape the characters of a text that would break its line or control a terminal, as quoted YAML does."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def brief(error: object, width: int = 160) -> str:
    """Shorten an exception's message to one line, without a terminal's colours, cut between two words."""
    plain = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", str(error))
    return textwrap.shorten(plain, width, placeholder=" ...") or type(error).__name__


def reason_in_code(error: BaseException, folder: str | os.PathLike[str]) -> tuple[str, traceback.FrameSummary | None]:
    """Why code of the user's own ended, as a verb phrase, and the last line that was running in their folder.

    Args:
        error: What it raised; SystemExit where it called exit.
        folder: The folder of the code.

    Returns:
        Such as "raises ValueError: ..."; and the line, None where none of the folder's was running.
    """
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_relative_to(folder)
    ]
    reason = "calls exit" if isinstance(error, SystemExit) else f"raises {type(error).__name__}: {brief(error)}"
    return reason, frames[-1] if frames else None


@contextlib.contextmanager
def naming_file(path: str | os.PathLike[str]) -> Iterator[None]:
    """Name a file in the error of a write that the system refuses in the block.

    The system names a file itself only where it is opened.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in WRITE_ERRORS:
            error.filename = os.fspath(path)
        raise


@contextlib.contextmanager
def naming_variable(variable: str, path: str | os.PathLike[str]) -> Iterator[None]:
    """Name the environment variable that moves a folder elsewhere, where the system refuses to write to the folder.

    Raises:
        UserError: there is no permission, the disk is full or read-only, or `path` begins with a home folder that does
            not exist.
    """
    folder = os.fspath(path)
    if folder.startswith("~"):  # `os.path.expanduser` leaves it where there is no home
        raise UserError(f"{folder}: there is no home folder; set {variable} to a folder that can be written to")
    try:
        yield
    except OSError as error:
        refused = folder if error.filename is None else os.fsdecode(error.filename)
        locations = os.path.abspath(refused), os.path.abspath(folder)
        if (
            error.errno not in FOLDER_ERRORS or os.path.commonpath(locations) not in locations
        ):  # neither above nor below it
            raise
        raise UserError(f"{error.strerror}: {refused}; set {variable} to a folder that can be written to") from None


def unknown_name(kind: str, name: object, valid: Iterable[str], why: str = "") -> UserError:
    """Make the error for a name that is not among the valid ones, with the nearest of them.

    Args:
        kind: What the name stands for, in the user's terms ("model", "key of attack igsm").
        name: The name given.
        valid: All valid names.
        why: The reason, where the name is not just unknown.
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


def share_in_pixels(share: float) -> str:
    """Convert a share of 1 to pixel values: 0.03137, which is 8/255 but for its last digits, to 8."""
    value = MAX_PIXEL * share
    return f"{round(value)}" if round(value) and abs(value - round(value)) < 0.05 else f"{value:.4g}"


def small_pixel_value_message(value: float) -> str:
    """The end of an error for a number of pixel values between 0 and 1; "" for any other number."""
    if not 0 < value < 1:
        return ""
    meant = f"did you mean {share_in_pixels(value)}?" if MAX_PIXEL * value > 0.95 else "write 1 or more"
    return f"pixels are 0..{MAX_PIXEL}, and less than one pixel value is lost; {meant}"


def refuse_small_pixel_value(name: str, value: float) -> None:
    """Refuse a number of pixel values that is written for pixels 0..1.

    Raises:
        UserError: it lies between 0 and 1.
    """
    if message := small_pixel_value_message(value):
        raise UserError(f"{name} is {value:g}: {message}")


def small_steps_message(epsilon: float, steps: int, step_size: float) -> str:
    """The error for steps so small that no stored pixel changes; "" for larger steps.

    Stored images are whole numbers: a pixel less than half a pixel value away from the clean one is rounded back.
    """
    if epsilon == 0 or steps * step_size >= 0.5:
        return ""
    count = "1 step" if steps == 1 else f"{steps} steps"
    return (
        f"step_size is {step_size:g}: {count} of it reach {steps * step_size:.3g}, which rounds to no change, since "
        f"pixels are 0..{MAX_PIXEL}; did you mean {share_in_pixels(step_size)}?"
    )


def text_for_pixels_message(text: str) -> str:
    """The end of an error for a text, such as 8/255 or 3%, where a number of pixel values is expected."""
    expected = f"expected a number of pixel values, 0..{MAX_PIXEL}"
    match = re.fullmatch(r"([\d.]+(?:e[-+]?\d+)?)\s*(?:/\s*([\d.]+)|(%))?", text.strip(), re.IGNORECASE)
    if match is None:
        return expected
    number, divisor, percent = match.groups()
    try:
        value = float(number) / (float(divisor) if divisor else 100 if percent else 1)
    except (ValueError, ZeroDivisionError):
        return expected
    is_share = divisor or percent or 0 < value < 1
    if value > (1 if is_share else MAX_PIXEL):
        return expected
    return f"{expected}; write {share_in_pixels(value) if is_share else f'{value:g}'}"


def refuse_unit_images(images: Any) -> None:
    """Refuse an array or tensor of images whose pixels are 0..1.

    Whole numbers pass, so that black images and images of zeros and ones do.

    Raises:
        UserError: all values lie in 0..1, and at least one is not whole.
    """
    if 0 in images.shape or not (float(images.min()) >= 0 and float(images.max()) <= 1):
        return
    if bool((images % 1 != 0).any()):
        raise UserError(f"pixels are 0..{MAX_PIXEL}, and these images lie in 0..1; multiply them by {MAX_PIXEL}")
