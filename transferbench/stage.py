"""What every stage script shares: user errors as one line and exit code 2, never a traceback."""

import functools
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import click

from transferbench.errors import UserError, printable


def friendly(main: Callable[..., None]) -> Callable[..., None]:
    """Print a `UserError`, or what the operating system refused (a full disk, a permission), as one line."""

    @functools.wraps(main)
    def guarded(*arguments: Any, **options: Any) -> None:
        try:
            main(*arguments, **options)
        except UserError as error:
            message = _placed(str(error))
        except OSError as error:
            if error.errno is None:  # no system call failed: a bug, whose traceback is wanted
                raise
            message = printable(f"{error.strerror}: {error.filename or 'while writing'}")
        except (MemoryError, RuntimeError) as error:
            if not isinstance(error, MemoryError) and type(error).__name__ != "OutOfMemoryError":
                raise
            message = "out of memory; lower compute: chunk in params.yaml"
        else:
            return
        click.secho(f"error: {message}", fg="red", err=True)
        sys.exit(2)

    return guarded


def _placed(message: str) -> str:
    """A message that says `dvc repro` of a file in an experiment's folder, for who stands elsewhere: of its graph."""
    found = re.search(r"(?:\.\./)*experiments/[A-Za-z0-9._-]+(?=/)", message)
    if found and Path(found[0], "dvc.yaml").is_file():
        return message.replace("`dvc repro`", f"`dvc repro {found[0]}/dvc.yaml`")
    return message


def stage(main: Callable[..., None]) -> click.Command:
    """Make a click command of a stage's main function. A SIGTERM unwinds it, so that temporary files go."""

    @functools.wraps(main)
    def prepared(**options: Any) -> None:
        signal.signal(signal.SIGTERM, _terminated)
        try:
            main(**options)
        finally:  # nothing is left to unwind: what Python does at its end would print the exception
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    return click.command(friendly(prepared))


def _terminated(number: int, frame: FrameType | None) -> None:
    """Unwind; but an import at once: native code in it may take the exception for its own and print it."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            os._exit(143)
        frame = frame.f_back
    sys.exit(143)
